using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

public sealed class OffsetSetTests
{
    [Fact]
    public void Set_equals_a_plain_set()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        // Few offsets over three chunks: runs become bitmaps and runs again.
        const int Span = 3 * OffsetChunk.Size;
        var (set, plain) = (new OffsetSet(), new bool[Span]);
        for (var step = 0; step < 20_000; step++)
        {
            var first = random.Next(10) == 0 ? random.Next(Span) : OffsetChunk.Size - 2_000 + random.Next(4_000);
            var last = Math.Min(Span - 1, first + (random.Next(20) == 0 ? random.Next(70_000) : random.Next(3)));
            var isAdded = random.Next(step % 4_000 < 2_500 ? 4 : 2) != 0;
            var added = 0;
            for (var offset = first; offset <= last; offset++)
            {
                added += plain[offset] ? 0 : 1;
                plain[offset] = isAdded;
            }
            if (!isAdded)
                set.Remove(new OffsetRange(first, last));
            else
                Assert.Equal(added, set.Add(new OffsetRange(first, last)));
            if (step % 500 == 0)
                AssertSame(plain, set, seed);
        }
        AssertSame(plain, set, seed);
    }

    [Fact]
    public void Offsets_outside_another_set_are_as_many_as_one_by_one()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        for (var round = 0; round < 200; round++)
        {
            // Over three chunks, with runs, bitmaps, whole and missing chunks.
            var (set, other) = (Some(), Some());
            var first = random.Next(3 * OffsetChunk.Size);
            var range = new OffsetRange(first, random.Next(first, 3 * OffsetChunk.Size));
            var expected = 0L;
            for (var offset = set.NextIn(range.First); offset <= range.Last; offset = set.NextIn(offset + 1))
                expected += other.Contains(offset) ? 0 : 1;
            Assert.True(expected == set.CountOutside(other, range), Seeds.Replay(seed));
        }

        OffsetSet Some()
        {
            var some = new OffsetSet();
            for (var left = random.Next(4); left > 0; left--)
            {
                var start = random.Next(3 * OffsetChunk.Size);
                some.Add(new OffsetRange(start, start + random.Next(2 * OffsetChunk.Size)));
            }
            var step = random.Next(2, 90);
            var from = random.Next(2 * OffsetChunk.Size);
            for (var i = 0; i < 2_000; i++)
                some.Remove(from + (i * step));
            return some;
        }
    }

    private static void AssertSame(bool[] plain, OffsetSet set, int seed)
    {
        var runs = new List<OffsetRange>();
        for (var offset = 0; offset < plain.Length; offset++)
        {
            if (!plain[offset])
                continue;
            var first = offset;
            while (offset + 1 < plain.Length && plain[offset + 1])
                offset++;
            runs.Add(new OffsetRange(first, offset));
        }
        Assert.True(runs.SequenceEqual(set), Seeds.Replay(seed));
        Assert.Equal(runs.Sum(run => run.Count), set.Count);
        Assert.Equal(runs.Count == 0 ? -1 : runs[0].First, set.Min);
        Assert.Equal(runs.Count == 0 ? -1 : runs[^1].Last, set.Max);
        foreach (var run in runs.Take(50))
        {
            Assert.True(set.Contains(run.First) && set.Contains(run.Last) && !set.Contains(run.Last + 1));
            Assert.Equal(run.Last + 1, set.NextNotIn(run.First));
        }
    }

    [Fact]
    public void Every_second_of_a_million_offsets_costs_an_eighth_of_a_byte_each()
    {
        var set = new OffsetSet();
        for (var offset = 0; offset < 1_000_000; offset += 2)
            set.Add(offset);
        Assert.Equal(500_000, set.Count);
        Assert.True(set.Cost * 4 <= 16 * 8_192, $"The set costs {set.Cost * 4} bytes.");
    }

    [Fact]
    public void Range_of_a_hundred_million_costs_a_run_for_each_chunk()
    {
        var set = new OffsetSet();
        Assert.Equal(100_000_000, set.Add(new OffsetRange(5, 100_000_004)));
        Assert.Equal([new OffsetRange(5, 100_000_004)], set);
        Assert.True(set.Cost < 1_600);
        set.RemoveBelow(100_000_000);
        Assert.Equal([new OffsetRange(100_000_000, 100_000_004)], set);
        Assert.Equal(1, set.Cost);
    }

    [Fact]
    public void Chunks_are_added_between_others_and_removed_at_once()
    {
        var set = new OffsetSet();
        set.Add(7);
        set.Add(20_000_000_000);
        set.Add(new OffsetRange(100_000, 10_000_000_000));
        Assert.Equal([OffsetRange.Of(7), new OffsetRange(100_000, 10_000_000_000), OffsetRange.Of(20_000_000_000)], set);
        set.Remove(new OffsetRange(8, 9_999_999_999));
        Assert.Equal([OffsetRange.Of(7), OffsetRange.Of(10_000_000_000), OffsetRange.Of(20_000_000_000)], set);
        Assert.Equal(3, set.Cost);
    }
}
