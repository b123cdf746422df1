"""What MONAI's bundles and Auto3DSeg checkpoints share: configurations as data, networks, transforms, weights."""
