"""Work and depth of operations and schedules."""
