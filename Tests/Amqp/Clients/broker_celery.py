"""Celery over a broker, with a worker in a process of its own: tasks, chains, groups, retries, delays, control. Its argument is the
broker's HOST:PORT; the worker imports this module, and has it in the environment."""

import os
import subprocess
import sys
import tempfile

import celery
import kombu

PATIENCE = 60
app = celery.Celery("broker_celery", broker=f"amqp://guest:guest@{os.environ.get('OMQ_BROKER') or sys.argv[1]}//", backend="rpc://")
app.conf.update(task_queues=[kombu.Queue("celery"), kombu.Queue("urgent", queue_arguments={"x-max-priority": 10})], task_acks_late=True,
                task_track_started=True, worker_prefetch_multiplier=2, broker_transport_options={"confirm_publish": True})


@app.task
def add(x, y):
    return x + y


@app.task(bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task
def fail():
    raise ValueError("it fails")


def raised(result, kind):
    try:
        result.get(timeout=PATIENCE)
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def main():
    assert [add.delay(number, 1).get(timeout=PATIENCE) for number in range(3)] == [1, 2, 3]
    results = [add.delay(number, number) for number in range(100)]
    assert [result.get(timeout=PATIENCE) for result in results] == [2 * number for number in range(100)]
    assert celery.chain(add.s(1, 2), add.s(3))().get(timeout=PATIENCE) == 6
    assert celery.group(add.s(number, 1) for number in range(10))().get(timeout=PATIENCE) == list(range(1, 11))
    assert flaky.delay().get(timeout=PATIENCE) == 2
    raised(fail.delay(), ValueError)
    assert add.apply_async((1, 1), countdown=0.5).get(timeout=PATIENCE) == 2
    assert add.apply_async((1, 1), queue="urgent", priority=7).get(timeout=PATIENCE) == 2
    assert len(app.control.broadcast("ping", reply=True, limit=1, timeout=PATIENCE)) == 1


if __name__ == "__main__":
    # The module is imported from the sources, where no compiled one may stay.
    sys.dont_write_bytecode = True
    # Tasks have the names of the module that the worker imports.
    import broker_celery

    with tempfile.TemporaryFile() as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "broker_celery", "worker", "-c", "2", "-l", "INFO", "-Q", "celery,urgent"],
            cwd=os.path.dirname(os.path.abspath(__file__)), stdout=log, stderr=log,
            env={**os.environ, "OMQ_BROKER": sys.argv[1], "PYTHONDONTWRITEBYTECODE": "1"})
        try:
            broker_celery.main()
            worker.terminate()
            assert worker.wait(PATIENCE) == 0, worker.returncode
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode())
            raise
        finally:
            worker.kill()
    print("as expected")
