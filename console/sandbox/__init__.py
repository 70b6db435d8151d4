"""Child processes with limits and without privileges. Knows neither Django nor jobs."""
