using OrleansMq.Schedules;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>One test measures the memory of the whole process.</summary>
[Collection(nameof(WholeProcess))]
public sealed class TimerWheelTests
{
    private const long BucketMs = 1_000;
    private const long Year = 365L * 24 * 3_600_000;

    [Fact]
    public void Timers_are_lent_in_order_when_they_are_due()
    {
        var wheel = new TimerWheel(new MemoryTimerBuckets(), BucketMs, 0);
        var (late, early, far) = (Timer(500, 1), Timer(400, 2), Timer(10 * Year, 3));
        wheel.Schedule(late);
        wheel.Schedule(early);
        wheel.Schedule(far);
        Assert.Equal(400, wheel.NextDue);
        Assert.Empty(wheel.Take(399, 10));
        Assert.Equal([early], wheel.Take(500, 1));
        Assert.Equal([late], wheel.Take(500, 1));
        Assert.Equal(2, wheel.InMemory);
        Assert.Empty(wheel.Take(10 * Year - 1, 10));
        Assert.Equal([far], wheel.Take(10 * Year, 10));
        Assert.Equal(long.MaxValue, wheel.NextDue);
    }

    [Fact]
    public void Timer_beyond_the_horizon_is_cancelled_and_replaced_in_its_bucket()
    {
        var buckets = new MemoryTimerBuckets();
        var wheel = new TimerWheel(buckets, BucketMs, 0);
        var (cancelled, replaced) = (Timer(Year, 1), Timer(Year, 2));
        wheel.Schedule(cancelled);
        wheel.Schedule(replaced);
        Assert.True(wheel.Cancel(cancelled.Handle));
        wheel.Schedule(replaced with { Reference = 7 });
        Assert.Equal(0, wheel.InMemory);
        Assert.Equal(4, buckets.Count);
        Assert.Equal([replaced with { Reference = 7 }], wheel.Take(Year, 10));
    }

    [Fact]
    public void Lent_timer_exists_until_it_is_cancelled()
    {
        var wheel = new TimerWheel(new MemoryTimerBuckets(), BucketMs, 0);
        var timer = Timer(5, 1);
        wheel.Schedule(timer);
        wheel.Take(5, 1);
        Assert.Equal([timer], wheel.All());
        wheel.Return(timer.Handle);
        Assert.Equal([timer], wheel.Take(5, 1));
        Assert.True(wheel.Cancel(timer.Handle));
        Assert.False(wheel.Cancel(timer.Handle));
        Assert.Empty(wheel.All());
    }

    [Fact]
    public void Random_calls_give_what_a_sorted_list_gives_also_after_a_restore()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        var buckets = new MemoryTimerBuckets();
        var wheel = new TimerWheel(buckets, BucketMs, 0);
        var reference = new SortedDictionary<ScheduleHandle, long>();
        var log = new List<(ScheduledTimer Timer, bool IsCancelled)>();
        (TimerCheckpoint State, int Applied)? checkpoint = null;
        var now = 0L;
        for (var i = 0; i < 30_000; i++)
        {
            switch (random.Next(100))
            {
                case < 55:
                    Apply(new ScheduledTimer(new ScheduleHandle(now + random.Next(-500, 20_000), NewId(random)), i), isCancelled: false);
                    break;
                case < 65 when reference.Count > 0:
                    Apply(new ScheduledTimer(reference.Keys.ElementAt(random.Next(reference.Count)), i), isCancelled: random.Next(3) != 0);
                    break;
                case < 97:
                    now += random.Next(100);
                    var most = random.Next(1, 20);
                    var expected = reference.TakeWhile(timer => timer.Key.Due <= now).Take(most)
                        .Select(timer => new ScheduledTimer(timer.Key, timer.Value)).ToList();
                    var taken = wheel.Take(now, most);
                    Assert.True(expected.SequenceEqual(taken), Seeds.Replay(seed));
                    foreach (var timer in taken)
                        Apply(timer, isCancelled: true);
                    break;
                case 97:
                    checkpoint = (wheel.Checkpoint(), log.Count);
                    if (random.Next(2) == 0)
                        wheel.CheckpointStored();
                    break;
                case 98 when checkpoint is { } stored && random.Next(10) == 0:
                    wheel = TimerWheel.Restore(stored.State, buckets, BucketMs);
                    foreach (var (timer, isCancelled) in log.Skip(stored.Applied))
                        ApplyToWheel(timer, isCancelled);
                    Assert.True(reference.Select(timer => new ScheduledTimer(timer.Key, timer.Value))
                        .SequenceEqual(wheel.All().OrderBy(timer => timer.Handle)), Seeds.Replay(seed));
                    break;
            }
        }

        void Apply(ScheduledTimer timer, bool isCancelled)
        {
            log.Add((timer, isCancelled));
            ApplyToWheel(timer, isCancelled);
            if (isCancelled)
                reference.Remove(timer.Handle);
            else
                reference[timer.Handle] = timer.Reference;
        }

        void ApplyToWheel(ScheduledTimer timer, bool isCancelled)
        {
            if (isCancelled)
                wheel.Cancel(timer.Handle);
            else
                wheel.Schedule(timer);
        }
    }

    [Fact]
    public void Pages_are_in_order_whatever_came_and_went()
    {
        const int Count = 200_000;
        var random = new Random(1);
        var wheel = new TimerWheel(new MemoryTimerBuckets(), long.MaxValue / 4, 0);
        var reference = new SortedSet<ScheduleHandle>();
        for (var i = 0; i < Count; i++)
        {
            var handle = new ScheduleHandle(i % 3 == 0 ? i : random.Next(1_000_000), NewId(random));
            wheel.Schedule(new ScheduledTimer(handle, i));
            reference.Add(handle);
        }
        foreach (var handle in reference.Where((_, index) => index % 1_000 > 100 && index < Count / 2).ToList())
        {
            Assert.True(wheel.Cancel(handle));
            reference.Remove(handle);
        }
        // Lent ones wait, too.
        Assert.Equal(reference.Take(500), wheel.Take(long.MaxValue / 8, 500).Select(timer => timer.Handle));
        ScheduleHandle? place = null;
        var listed = new List<ScheduleHandle>();
        while (wheel.After(place, 10) is { Count: > 0 } page)
        {
            listed.AddRange(page.Select(timer => timer.Handle));
            place = listed[^1];
        }
        Assert.Equal(reference, listed);
    }

    [Fact]
    public void Timer_takes_less_than_a_hundred_bytes_of_memory()
    {
        const int Count = 1_000_000;
        var random = new Random(1);
        var wheel = new TimerWheel(new MemoryTimerBuckets(), Year, 0);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        for (var i = 0; i < Count; i++)
            wheel.Schedule(new ScheduledTimer(new ScheduleHandle(random.NextInt64(Year), NewId(random)), i));
        var bytes = (GC.GetTotalMemory(forceFullCollection: true) - before) / (double)Count;
        Assert.True(bytes < 100, $"{bytes:F1} bytes a timer");
        Assert.Equal(Count, wheel.InMemory);
    }

    private static ScheduledTimer Timer(long due, byte id) => new(new ScheduleHandle(due, new Guid([.. new byte[15], id])), id);

    private static Guid NewId(Random random)
    {
        Span<byte> bytes = stackalloc byte[16];
        random.NextBytes(bytes);
        return new Guid(bytes);
    }
}
