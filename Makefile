# Each target is a job of scripts/bootstrap.py, which sets up .venv first and needs no make.
JOBS = demo install check format test test-all bench docs models
.PHONY: $(JOBS)
$(JOBS):
	python3 scripts/bootstrap.py $@
