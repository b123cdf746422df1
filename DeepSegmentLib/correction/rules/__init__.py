"""What a prompt may, must and shall not change."""
