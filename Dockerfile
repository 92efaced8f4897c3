# The README's two commands in a container:
#
#   docker build --tag study .
#   docker run --rm --volume "$PWD/results/mine:/study/results/mine" study    # make main
#   docker run --rm study make test
#
# On Linux, pip installs torch with CUDA, which takes gigabytes. To install its smaller build, name
# the index that has it: --build-arg PIP_EXTRA_INDEX_URL=URL.
FROM python:3.11-slim

# chromium is for the tests of the page, and git tells which commit made the results
RUN apt-get update \
    && apt-get install --yes --no-install-recommends chromium git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /study
COPY . .
ARG PIP_EXTRA_INDEX_URL
RUN make .venv/ready

CMD ["make", "main"]
