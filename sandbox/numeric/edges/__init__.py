"""Where a loss changes abruptly: which operations can, at which inputs they do, and what the loss gives there."""
