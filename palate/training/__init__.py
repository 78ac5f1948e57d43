"""What a training job needs beside TRL: checked rows, a work folder, callbacks and the record."""
