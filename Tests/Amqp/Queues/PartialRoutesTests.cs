using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Which queues have a message that is routed again.</summary>
public sealed class PartialRoutesTests
{
    [Fact]
    public void Queue_that_is_deleted_and_made_again_has_other_messages_at_its_positions()
    {
        var (former, next) = (Guid.NewGuid(), Guid.NewGuid());
        var routes = new PartialRoutes();
        routes.Keep(new Hold(7, former), [1, 2]);
        Assert.Empty(routes.Take(new Hold(7, next)));
        Assert.Empty(routes.Take(new Hold(8, former)));
        Assert.Equal([1L, 2L], routes.Take(new Hold(7, former)).Order());
        Assert.Empty(routes.Take(new Hold(7, former)));
    }

    private sealed record Hold(long Position, Guid Id) : MessageHold(Position, 0)
    {
        public override Guid Queue => Id;
    }
}
