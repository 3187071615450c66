"""What stands out in the figures, and the channels that severe findings are sent to."""
