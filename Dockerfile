# Easel in a container: docs/serve.md. For a GPU: --build-arg TORCH=cuda
FROM python:3.12-slim

ARG TORCH=cpu

WORKDIR /opt/easel
COPY requirements.txt README.md ./
# The libraries, which change less often than the program; Gradio as a Space has it. PyPI's PyTorch is the one for CUDA.
RUN pip install --no-cache-dir --requirement requirements.txt "$(sed -n 's/^sdk_version: /gradio==/p' README.md)" \
    $(if [ "$TORCH" = cpu ]; then echo "--extra-index-url https://download.pytorch.org/whl/cpu"; fi)

COPY pyproject.toml LICENSE app.py ./
COPY presets presets
COPY pipelines pipelines
COPY tabs tabs
RUN pip install --no-cache-dir --editable '.[mcp]' && python -m compileall -q app.py presets pipelines tabs

RUN useradd --create-home easel && mkdir /home/easel/Easel && chown easel:easel /home/easel/Easel
USER easel
ENV EASEL_HOME=/home/easel/Easel EASEL_HOST=0.0.0.0 EASEL_PORT=7860 HF_HOME=/home/easel/Easel/huggingface
VOLUME /home/easel/Easel
EXPOSE 7860
HEALTHCHECK --start-period=3m CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health')"]
CMD ["python", "app.py"]
