using System.Diagnostics;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>Waits that the tests of schedules share.</summary>
internal static class SchedulingTest
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    /// <summary>Asks until the answer is as expected. A broker that does not answer yet is asked again.</summary>
    public static async Task<T> UntilAsync<T>(Func<Task<T>> ask, Func<T, bool> isExpected)
    {
        var watch = Stopwatch.StartNew();
        object? last = null;
        while (true)
        {
            try
            {
                var answer = await ask();
                if (isExpected(answer))
                    return answer;
                last = answer is System.Collections.ICollection items ? $"{items.Count} items" : answer;
            }
            catch (BrokerException refusal)
            {
                last = refusal.Message;
            }
            Assert.True(watch.Elapsed < Deadline, $"Not within {Deadline}; at last: {last}.");
            await Task.Delay(5);
        }
    }

    /// <summary>Asks until it is so. Between two looks the clock goes on: a broker that was timing something while the clock was advanced
    /// does it a moment later.</summary>
    public static Task UntilAsync(ManualClock clock, Func<Task<bool>> condition) => UntilAsync(async () =>
    {
        if (await condition())
            return true;
        clock.Advance(TimeSpan.FromMilliseconds(10));
        return false;
    }, static isTrue => isTrue);
}
