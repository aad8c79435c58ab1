using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Engine.VirtualHosts;

public sealed class RouteCollectorPoolTests
{
    private readonly RouteCollectorPool _pool = new();

    [Fact]
    public void Collector_is_used_again_and_holds_nothing()
    {
        var collector = _pool.Rent();
        Assert.NotSame(collector, _pool.Rent());
        collector.Begin("x");
        collector.Add(new RouteTarget(DestinationKind.Queue, "q", 1));
        collector.Current.Add(TopicNode.Empty);
        collector.IsOpen.Add(TopicNode.Empty);
        _pool.Return(collector);
        Assert.Same(collector, _pool.Rent());
        Assert.Empty(collector.Targets);
        Assert.Empty(collector.Current);
        Assert.Empty(collector.IsOpen);
    }

    [Fact]
    public void Large_collector_is_not_kept()
    {
        var collector = _pool.Rent();
        for (var node = 0; node <= RouteCollectorPool.MaxKeptCapacity; node++)
            collector.Next.Add(TopicNode.Empty);
        _pool.Return(collector);
        Assert.NotSame(collector, _pool.Rent());
    }

    [Fact]
    public void Pool_keeps_as_many_as_there_are_processors()
    {
        var rented = Enumerable.Range(0, Environment.ProcessorCount + 3).Select(_ => _pool.Rent()).ToArray();
        foreach (var collector in rented)
            _pool.Return(collector);
        var again = Enumerable.Range(0, rented.Length).Select(_ => _pool.Rent()).ToArray();
        Assert.Equal(Environment.ProcessorCount, again.Intersect(rented).Count());
    }
}
