"""For locust: users that do nothing but count. Master and workers speak zmq.green to each other."""

from locust import User, constant, task


class Counting(User):
    """Fires one success per turn."""

    wait_time = constant(0.01)

    @task
    def count(self):
        self.environment.events.request.fire(
            request_type="none", name="count", response_time=1, response_length=1, exception=None, context={}
        )
