"""TorchScript and ONNX graphs of strangers: looked through before anything of them runs."""
