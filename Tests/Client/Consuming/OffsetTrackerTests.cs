using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>The lowest unprocessed offset, compared with a plain set of processed ones.</summary>
public sealed class OffsetTrackerTests
{
    [Fact]
    public void Committed_offset_covers_exactly_the_processed_prefix_in_any_order()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        for (var round = 0; round < 300; round++)
        {
            var tracker = new OffsetTracker();
            var started = new List<long>();
            var done = new HashSet<long>();
            var offset = (long)random.Next(5);
            for (var step = 0; step < 200; step++)
            {
                var open = started.Where(item => !done.Contains(item)).ToList();
                if (open.Count == 0 || random.Next(100) < 55)
                {
                    tracker.Start(offset, (int)(offset % 7));
                    started.Add(offset);
                    offset += random.Next(1, 4); // Gaps, as left by compaction.
                }
                else
                {
                    var finished = open[random.Next(open.Count)];
                    done.Add(finished);
                    Assert.Equal(finished == open[0], tracker.Finish(finished));
                }
                var leading = started.TakeWhile(done.Contains).ToList();
                var because = Seeds.Replay(seed, nameof(Committed_offset_covers_exactly_the_processed_prefix_in_any_order));
                Assert.True(tracker.DoneTo == (leading.Count == 0 ? -1 : leading[^1] + 1),
                    $"round {round}, step {step}: {tracker.DoneTo}; {because}");
                Assert.True(tracker.DoneEpoch == (leading.Count == 0 ? -1 : (int)(leading[^1] % 7)), because);
                Assert.True(tracker.Count == started.Count - leading.Count, because);
            }
        }
    }

    [Fact]
    public void Completing_an_offset_not_in_flight_is_refused()
    {
        var tracker = new OffsetTracker();
        tracker.Start(3, 0);
        Assert.Throws<InvalidOperationException>(() => tracker.Finish(2));
        tracker.Finish(3);
        Assert.Throws<InvalidOperationException>(() => tracker.Finish(3));
        Assert.Throws<ArgumentOutOfRangeException>(() => tracker.Start(3, 0));
    }
}
