"""Letters ready drawn (``make.py``)."""
