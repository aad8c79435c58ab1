using OrleansMq.Gateways.Http;

namespace OrleansMq.Tests.Silo.Http;

public sealed class BodyMemoryTests
{
    [Fact]
    public void Request_that_fits_gets_memory_at_once_and_others_wait_in_order()
    {
        var memory = new BodyMemory(100);
        Assert.True(memory.TakeAsync(60).IsCompleted);
        var large = memory.TakeAsync(50);
        // It would fit, but must not overtake, or a large batch would starve.
        var small = memory.TakeAsync(10);
        Assert.False(large.IsCompleted || small.IsCompleted);
        memory.Return(60);
        Assert.True(large.IsCompleted && small.IsCompleted);
        var next = memory.TakeAsync(50);
        Assert.False(next.IsCompleted);
        memory.Return(10);
        Assert.True(next.IsCompleted);
    }
}
