using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Time that passes for a gateway while a test waits for something.</summary>
internal static class ClockSteps
{
    /// <summary>Steps for a bound that decides: what the machine does between two of them costs little of it.</summary>
    public static readonly TimeSpan Small = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan Large = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    /// <summary>Advances a clock until a task completes.</summary>
    /// <param name="clock">The clock.</param>
    /// <param name="task">The task.</param>
    /// <param name="most">The longest time by the clock.</param>
    /// <param name="step">By how much it advances at a time.</param>
    public static async Task AdvanceUntilAsync(this ManualClock clock, Task task, TimeSpan most, TimeSpan? step = null)
    {
        for (var advanced = TimeSpan.Zero; advanced < most; advanced += step ?? Large)
        {
            // Time for what the clock has set off, and for sockets.
            if (await Task.WhenAny(task, Task.Delay(20)) == task)
                return;
            clock.Advance(step ?? Large);
        }
        // A busy machine takes longer for it, while the clock stands still.
        Assert.True(await Task.WhenAny(task, Task.Delay(Patience)) == task, $"It takes longer than {most.TotalSeconds:0} seconds.");
    }
}
