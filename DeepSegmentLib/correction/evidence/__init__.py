"""What speaks for and against changing each voxel, and what it is worth."""
