"""Traffic of schedules: words moved, best tiles, bytes on links."""
