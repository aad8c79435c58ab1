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

    [Fact]
    public void Small_request_gets_memory_while_large_ones_wait()
    {
        var memory = new BodyMemory(BodyMemory.DefaultBytes);
        const long large = 100 << 20;
        Assert.True(memory.TakeAsync(large).IsCompleted && memory.TakeAsync(large).IsCompleted);
        var third = memory.TakeAsync(large);
        Assert.False(third.IsCompleted);
        for (var taken = 0L; taken < 32 << 20; taken += BodyMemory.SmallBytes)
            Assert.True(memory.TakeAsync(BodyMemory.SmallBytes).IsCompleted);
        memory.Return(large);
        Assert.True(third.IsCompleted);
    }
}
