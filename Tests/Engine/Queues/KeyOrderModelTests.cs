using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>A queue ordered by key whose records are more than its look-ahead, so that lines forget their ends: every record is delivered
/// in the end, in the order of its key.</summary>
public sealed class KeyOrderModelTests
{
    [Fact]
    public void Line_that_forgot_records_behind_one_that_waited_for_long_is_delivered_to_its_end()
    {
        var rig = new CursorRig(new CursorConfiguration { Name = "c", IsOrderedByKey = true, LookAhead = 200 })
        {
            KeyOf = static offset => offset % 3 == 0 ? 8 : 7,
        };
        rig.Produce(1_200);
        rig.Handle(new Attach(1, 0, IsWindow: true, LockDurationMs: 0) { KeyRun = 20, KeyRunReserve = 20 });
        rig.Handle(new GrantCredit(1, 40));
        var (delivered, isAway) = (new Dictionary<long, List<long>> { [7] = [], [8] = [] }, true);
        // One key is not reached for long: meanwhile the other one goes on to its end.
        while (Next() is { } delivery)
        {
            foreach (var record in delivery.Records)
            {
                var key = rig.KeyOf!(record.Offset)!.Value;
                if (isAway && key == 7)
                {
                    rig.Request(new Release(rig.NextId, delivery.Lock, OffsetRange.Of(record.Offset), IsFailure: false, DelayMs: 1_000));
                    continue;
                }
                rig.Request(new Settle(rig.NextId, delivery.Lock, OffsetRange.Of(record.Offset)));
                delivered[key].Add(record.Offset);
            }
            isAway &= delivered[8].Count < 350;
        }
        foreach (var (key, offsets) in delivered)
        {
            Assert.True(offsets.Count > 350, $"{offsets.Count} records of key {key} are delivered.");
            Assert.Equal(offsets.Order(), offsets);
        }
        Assert.Equal(1_200, delivered.Values.Sum(static offsets => offsets.Count));

        Deliver? Next()
        {
            if (rig.Deliveries.Count == 0)
                rig.PassTime(1_000);
            if (rig.Deliveries.Count == 0)
                return null;
            var next = rig.Deliveries[0];
            rig.Deliveries.RemoveAt(0);
            return next;
        }
    }

    [Fact]
    public void Every_record_is_settled_in_the_end_whatever_is_forgotten()
    {
        for (var seed = 0; seed < 24; seed++)
            Run(seed);
    }

    private static void Run(int seed)
    {
        const int steps = 400;
        var random = new Random(seed);
        var (keys, isDelayed, isFiltered, hasTimes) = (random.Next(1, 6), random.Next(2) == 0, seed % 3 == 1, seed % 3 == 2);
        var rig = new CursorRig(new CursorConfiguration
        {
            Name = "c",
            IsOrderedByKey = true,
            LookAhead = random.Next(1, 12),
            Filter = isFiltered ? "TRUE" : null,
            HasSchedules = hasTimes,
        })
        {
            HeadOf = offset => new RecordHead(offset, DeliverAt: hasTimes && offset % 4 == 1 ? 1_000 + (offset * 20) : 0,
                IsFiltered: IsLeftOut(offset)),
            KeyOf = offset => offset * 2_654_435_761 % 7 == 0 ? null : offset * 2_654_435_761 % 11 % keys,
        };
        var (run, credit) = (random.Next(1, 5), random.Next(1, 12));
        var held = new List<(LockToken Lock, long Offset)>();
        var (total, count) = (0, 0);
        Attach();
        for (var step = 0; step < steps || count < total; step++)
        {
            Assert.True(step < 20 * steps, $"seed {seed}: {count} of {total} records are settled, and {held.Count} are held.");
            held.AddRange(rig.Deliveries.SelectMany(static delivery =>
                delivery.Records.Select(record => (delivery.Lock, record.Offset))));
            rig.Deliveries.Clear();
            var isCalm = step >= steps;
            if (step < steps / 4 && random.Next(2) == 0)
            {
                var records = random.Next(1, 20);
                total += Enumerable.Range(0, records).Count(record => !IsLeftOut(rig.End + record));
                rig.Produce(records);
            }
            else if (!isCalm && random.Next(100) == 0)
            {
                held.Clear();
                rig.FailOver();
                rig.Commit();
                Attach();
            }
            else if (held.Count == 0 || random.Next(10) == 0)
                rig.PassTime(random.Next(300));
            else
            {
                var index = random.Next(held.Count);
                var (token, offset) = held[index];
                held.RemoveAt(index);
                if (!isCalm && random.Next(3) == 0)
                {
                    rig.Request(new Release(rig.NextId, token, OffsetRange.Of(offset), IsFailure: random.Next(2) == 0,
                        DelayMs: isDelayed ? random.Next(3) * 100 : 0));
                }
                else if (rig.Request(new Settle(rig.NextId, token, OffsetRange.Of(offset))) == CursorOutcome.Done)
                    count++;
            }
        }

        bool IsLeftOut(long offset) => isFiltered && offset * 2_654_435_761 % 5 < 2;

        void Attach()
        {
            rig.Handle(new Attach(1, 0, IsWindow: true, LockDurationMs: 0) { KeyRun = run, KeyRunReserve = 0 });
            rig.Handle(new GrantCredit(1, credit));
        }
    }
}
