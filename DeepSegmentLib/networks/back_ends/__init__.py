"""What computes a network on the CPU: torch, torch with channels last, or OpenVINO, in float32 or bfloat16."""
