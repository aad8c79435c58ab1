using OrleansMq.Log;

namespace OrleansMq.Tests.Engine.Log;

public sealed class WritebackStepTests
{
    private const long Least = WritebackStep.MinBytes;

    [Fact]
    public void Step_starts_at_the_end_of_the_last_one_and_waits_for_it()
    {
        Assert.Null(WritebackStep.Next(default, Least - 1));
        var first = WritebackStep.Next(default, Least)!.Value;
        Assert.Equal((0, Least, 0), (first.From, first.To, first.AwaitedFrom));
        Assert.Null(WritebackStep.Next(first, (2 * Least) - 1));
        var second = WritebackStep.Next(first, 3 * Least)!.Value;
        Assert.Equal((Least, 3 * Least, 0), (second.From, second.To, second.AwaitedFrom));
        Assert.Equal(Least, WritebackStep.Next(second, 4 * Least)!.Value.AwaitedFrom);
    }

    [Fact]
    public void Truncated_file_starts_again()
    {
        var step = new WritebackStep(Least, 3 * Least, 0);
        Assert.Null(WritebackStep.Next(step, Least - 1));
        Assert.Equal(new WritebackStep(0, 2 * Least, 0), WritebackStep.Next(step, 2 * Least));
    }
}
