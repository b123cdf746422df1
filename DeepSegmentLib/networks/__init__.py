"""Networks: what a model needs (`spec`), the U-Nets (`unet`), running them (`runtime`)."""
