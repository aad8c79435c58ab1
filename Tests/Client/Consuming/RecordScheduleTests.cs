using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>The order within a key, and the bound over all keys.</summary>
public sealed class RecordScheduleTests
{
    [Fact]
    public void Keys_keep_their_order_within_the_concurrency_limit()
    {
        var seed = Seeds.Next();
        var because = Seeds.Replay(seed, nameof(Keys_keep_their_order_within_the_concurrency_limit));
        var random = new Random(seed);
        for (var round = 0; round < 200; round++)
        {
            var max = random.Next(1, 6);
            var schedule = new RecordSchedule<int>(max);
            var waiting = new Dictionary<ulong, Queue<int>>();
            var running = new List<ulong>();
            for (var item = 0; item < 300; item++)
            {
                var key = (ulong)random.Next(8);
                if (random.Next(2) == 0)
                {
                    schedule.Add(key, item);
                    (waiting.TryGetValue(key, out var behind) ? behind : waiting[key] = new Queue<int>()).Enqueue(item);
                }
                else if (random.Next(2) == 0 && running.Count > 0)
                {
                    var ended = running[random.Next(running.Count)];
                    running.Remove(ended);
                    schedule.Finish(ended);
                }
                var mayStart = running.Count < max && waiting.Any(pair => pair.Value.Count > 0 && !running.Contains(pair.Key));
                var hasStarted = schedule.TryStart(out var startedKey, out var started);
                Assert.True(hasStarted == mayStart, because);
                if (hasStarted)
                {
                    Assert.True(started == waiting[startedKey].Dequeue(), because);
                    Assert.True(!running.Contains(startedKey), because);
                    running.Add(startedKey);
                }
                Assert.True(schedule.Running == running.Count && schedule.Waiting == waiting.Values.Sum(queue => queue.Count), because);
            }
            Assert.Equal(waiting.Values.SelectMany(queue => queue).Order(), schedule.Drop().Order());
            foreach (var key in running)
                schedule.Finish(key);
            Assert.False(schedule.TryStart(out _, out _), because);
            Assert.Equal((0, 0), (schedule.Running, schedule.Waiting));
        }
    }
}
