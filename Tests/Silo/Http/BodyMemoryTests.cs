using OrleansMq.Silo.Http;

namespace OrleansMq.Tests.Silo.Http;

public sealed class BodyMemoryTests
{
    [Fact]
    public void What_fits_is_given_at_once_and_the_rest_waits_in_turn()
    {
        var memory = new BodyMemory(100);
        Assert.True(memory.TakeAsync(60).IsCompleted);
        var large = memory.TakeAsync(50);
        // Would fit, but must not overtake: a large batch would never have its turn.
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
