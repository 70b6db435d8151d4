"""The processes of one machine: locks between them, and the end of those below one. Knows neither Django nor jobs."""
