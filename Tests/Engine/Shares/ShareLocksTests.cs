using OrleansMq.Shares;
using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Shares;

/// <summary>Which lock holds which offset, compared with a plain table.</summary>
public sealed class ShareLocksTests
{
    [Fact]
    public void Ranges_are_cut_joined_and_found_as_in_a_plain_table()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var (locks, table) = (new ShareLocks(), new SortedDictionary<long, LockToken>());
            for (var step = 0; step < 60; step++)
            {
                var first = random.Next(40);
                var range = new OffsetRange(first, first + random.Next(8));
                var token = new LockToken(Guid.Empty, 1, random.Next(5));
                switch (random.Next(3))
                {
                    case 0:
                        locks.Add(range, token);
                        for (var offset = range.First; offset <= range.Last; offset++)
                            table[offset] = token;
                        break;
                    case 1:
                        locks.Remove(range);
                        for (var offset = range.First; offset <= range.Last; offset++)
                            table.Remove(offset);
                        break;
                }
                Check(locks, table, range);
            }
        }
    }

    [Fact]
    public void Range_beyond_all_offsets_is_not_held()
    {
        var locks = new ShareLocks();
        locks.Add(new OffsetRange(5, 9), default);
        Assert.Null(locks.Find(new OffsetRange(0, long.MaxValue - 1)));
        Assert.Null(locks.Find(new OffsetRange(5, 10)));
        Assert.Single(locks.Find(new OffsetRange(6, 9))!);
        locks.Remove(new OffsetRange(0, long.MaxValue - 1));
        Assert.Equal(0, locks.Count);
    }

    [Fact]
    public void As_many_ranges_are_known_as_a_group_may_lock()
    {
        var locks = new ShareLocks(20_001);
        for (var offset = 0; offset <= 40_000; offset += 2)
            locks.Add(OffsetRange.Of(offset), default);
        Assert.NotNull(locks.Find(OffsetRange.Of(0)));
        locks.Add(OffsetRange.Of(40_002), default);
        Assert.Null(locks.Find(OffsetRange.Of(0)));
        Assert.Equal(20_001, locks.Count);
    }

    private static void Check(ShareLocks locks, SortedDictionary<long, LockToken> table, OffsetRange range)
    {
        var isHeld = Enumerable.Range((int)range.First, (int)range.Count).All(offset => table.ContainsKey(offset));
        var parts = locks.Find(range);
        Assert.Equal(isHeld, parts is not null);
        if (parts is null)
            return;
        var next = range.First;
        foreach (var (records, token, _) in parts)
        {
            Assert.Equal(next, records.First);
            for (; next <= records.Last; next++)
                Assert.Equal(table[next], token);
        }
        Assert.Equal(range.Last + 1, next);
    }
}
