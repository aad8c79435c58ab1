using OrleansMq.Client;
using OrleansMq.Outboxes;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>How many wake-up records a grain has, and when they are settled.</summary>
public sealed class WakeUpRecordsTests
{
    private static readonly TimeSpan s_delay = TimeSpan.FromSeconds(30);
    private static readonly OutboxView s_nothing = new(IsWriting: false, IsInDoubt: false, HasPending: false, MayCleanUp: false,
        HasRow: true);
    private static readonly OutboxView s_pending = s_nothing with { HasPending = true };

    private readonly WakeUpRecords _records = new(s_delay);

    [Theory]
    [InlineData(0.1)]
    [InlineData(1)]
    [InlineData(20)]
    [InlineData(40)]
    public void Grain_that_keeps_writing_has_one_record(double seconds)
    {
        // The queue: when each record was stored, and when it comes again.
        var queue = new Dictionary<Guid, (TimeSpan Stored, TimeSpan Due)>();
        var (most, stored, calls) = (0, 0, 0);
        var (nextWrite, oldest, maxAge) = (TimeSpan.Zero, TimeSpan.Zero, s_delay * 10);
        for (var now = TimeSpan.Zero; now < s_delay * 100; now += TimeSpan.FromSeconds(0.1))
        {
            foreach (var (record, (since, _)) in queue.Where(entry => entry.Value.Due <= now).ToList())
            {
                calls++;
                // Its last messages are delivered, and a part of the state until the next write.
                if (_records.Answer(record, now, s_pending).IsSettled)
                    queue.Remove(record);
                else
                {
                    var isRenewed = OutboxDispatcher.IsOld(DateTimeOffset.UnixEpoch + since, DateTimeOffset.UnixEpoch + now, maxAge);
                    queue[record] = (isRenewed ? now : since, now + s_delay);
                }
            }
            foreach (var (since, _) in queue.Values)
                oldest = now - since > oldest ? now - since : oldest;
            if (now < nextWrite)
                continue;
            nextWrite += TimeSpan.FromSeconds(seconds);
            if (_records.NeedsRecord(now))
            {
                var record = Guid.NewGuid();
                _records.Stored(record, now);
                // The dispatcher lets it wait when it comes first.
                queue[record] = (now, now + s_delay);
                stored++;
            }
            _records.Wrote(_records.Begin());
            most = Math.Max(most, queue.Count);
        }
        Assert.Equal((1, 1), (most, stored));
        Assert.InRange(calls, 90, 101);
        // So the topic is kept no longer, however long the grain keeps writing.
        Assert.InRange(oldest, maxAge / 2, maxAge + s_delay);
    }

    [Fact]
    public void Records_that_do_not_come_are_superseded_ever_more_seldom()
    {
        var stored = new List<Guid>();
        for (var now = TimeSpan.Zero; now < TimeSpan.FromHours(2); now += TimeSpan.FromSeconds(1))
        {
            if (!_records.NeedsRecord(now))
                continue;
            stored.Add(Guid.NewGuid());
            _records.Stored(stored[^1], now);
        }
        Assert.InRange(stored.Count, 5, 10);
        var later = TimeSpan.FromHours(2);
        // The live one goes on, the others are settled.
        Assert.False(_records.Answer(stored[^1], later, s_pending).IsSettled);
        Assert.All(stored.SkipLast(1), record => Assert.True(_records.Answer(record, later, s_pending).IsSettled));
        Assert.False(_records.NeedsRecord(later));
    }

    [Fact]
    public void Record_is_settled_after_a_look_that_began_after_it_came()
    {
        var record = Store();
        var early = _records.Begin();
        Assert.Equal(new WakeUpAnswer(IsSettled: false, Looks: true), _records.Answer(record, s_delay, s_nothing));
        _records.FoundNothing(early);
        Assert.False(_records.Answer(record, s_delay, s_nothing).IsSettled);
        _records.FoundNothing(_records.Begin());
        Assert.False(_records.Answer(record, s_delay, s_pending).IsSettled);
        Assert.False(_records.Answer(record, s_delay, s_nothing with { IsWriting = true }).IsSettled);
        Assert.False(_records.Answer(record, s_delay, s_nothing with { IsInDoubt = true }).IsSettled);
        Assert.False(_records.NeedsRecord(s_delay));
        Assert.True(_records.Answer(record, s_delay, s_nothing).IsSettled);
        Assert.True(_records.NeedsRecord(s_delay));
    }

    [Fact]
    public void Record_of_another_activation_is_settled_after_a_write_that_began_after_it_came()
    {
        var (record, early) = (Guid.NewGuid(), _records.Begin());
        Assert.Equal(new WakeUpAnswer(IsSettled: false, Looks: true, Fences: true), _records.Answer(record, s_delay, s_nothing));
        _records.Wrote(early);
        _records.FoundNothing(_records.Begin());
        Assert.False(_records.Answer(record, s_delay, s_nothing).IsSettled);
        _records.Wrote(_records.Begin());
        Assert.True(_records.Answer(record, s_delay, s_nothing).IsSettled);
    }

    [Fact]
    public void Write_without_a_known_outcome_is_fenced_before_its_record_is_settled()
    {
        var record = Store();
        _records.Doubt();
        Assert.True(_records.Answer(record, s_delay, s_nothing).Fences);
        _records.FoundNothing(_records.Begin());
        Assert.False(_records.Answer(record, s_delay, s_nothing).IsSettled);
        _records.Wrote(_records.Begin());
        Assert.True(_records.Answer(record, s_delay, s_nothing).IsSettled);
    }

    [Fact]
    public void Record_of_a_grain_without_a_state_is_settled_after_some_visits()
    {
        var (record, none) = (Guid.NewGuid(), s_nothing with { HasRow = false });
        for (var visit = 0; visit < WakeUpRecords.UnfencedVisits; visit++)
        {
            Assert.Equal(new WakeUpAnswer(IsSettled: false, Looks: true), _records.Answer(record, s_delay, none));
            _records.FoundNothing(_records.Begin());
        }
        Assert.True(_records.Answer(record, s_delay, none).IsSettled);
    }

    [Fact]
    public void Activation_that_reads_what_another_wrote_relies_on_its_record_no_more()
    {
        var record = Store();
        _records.Distrust();
        Assert.True(_records.NeedsRecord(TimeSpan.Zero));
        var second = Store();
        // It is settled as one of another activation.
        Assert.True(_records.Answer(record, s_delay, s_pending).Fences);
        _records.Wrote(_records.Begin());
        Assert.True(_records.Answer(record, s_delay, s_pending).IsSettled);
        Assert.False(_records.Answer(second, s_delay, s_pending).IsSettled);
    }

    [Fact]
    public void Record_that_is_left_is_taken_over_and_fenced_before_it_is_settled()
    {
        var (left, grain, stamp) = (new LeftRecords(capacity: 2), GrainId.Create("a", "b"), Guid.NewGuid());
        var record = Store();
        left.Leave(grain, "state", _records.Leave()!.Value, stamp, TimeSpan.Zero);
        // It is not the first one's any more.
        Assert.True(_records.NeedsRecord(TimeSpan.Zero));
        Assert.True(_records.Answer(record, s_delay, s_nothing).Fences);
        Assert.Null(_records.Leave());
        Assert.Null(left.Take(grain, "another", stamp, TimeSpan.Zero));
        var next = new WakeUpRecords(s_delay);
        var taken = left.Take(grain, "state", stamp, TimeSpan.Zero)!.Value;
        Assert.Null(left.Take(grain, "state", stamp, TimeSpan.Zero));
        next.TakeOver(taken.Id, taken.Due);
        Assert.False(next.NeedsRecord(s_delay));
        Assert.True(next.Answer(record, s_delay, s_nothing).Fences);
        next.FoundNothing(next.Begin());
        Assert.False(next.Answer(record, s_delay, s_nothing).IsSettled);
        next.Wrote(next.Begin());
        Assert.True(next.Answer(record, s_delay, s_nothing).IsSettled);
    }

    [Fact]
    public void Record_that_is_left_is_not_taken_where_another_activation_has_written()
    {
        var (left, grain) = (new LeftRecords(capacity: 1), GrainId.Create("a", "b"));
        left.Leave(grain, "state", (Guid.NewGuid(), s_delay), Guid.NewGuid(), TimeSpan.Zero);
        // There is no room until the first one is overdue.
        left.Leave(grain, "second", (Guid.NewGuid(), s_delay), Guid.Empty, s_delay);
        Assert.Null(left.Take(grain, "second", Guid.Empty, TimeSpan.Zero));
        left.Leave(grain, "second", (Guid.NewGuid(), s_delay), Guid.Empty, s_delay * 2);
        Assert.NotNull(left.Take(grain, "second", Guid.Empty, TimeSpan.Zero));
        left.Leave(grain, "state", (Guid.NewGuid(), s_delay), Guid.NewGuid(), s_delay);
        Assert.Null(left.Take(grain, "state", Guid.NewGuid(), TimeSpan.Zero));
    }

    [Fact]
    public void Record_of_its_own_needs_a_fence_once_another_activation_has_written()
    {
        var record = Store();
        Assert.False(_records.Answer(record, s_delay, s_nothing).Fences);
        _records.Distrust();
        _records.FoundNothing(_records.Begin());
        // What the read found may be older than a write of this activation.
        var answer = _records.Answer(record, s_delay, s_nothing);
        Assert.Equal(new WakeUpAnswer(IsSettled: false, Looks: true, Fences: true), answer);
        _records.Wrote(_records.Begin());
        Assert.True(_records.Answer(record, s_delay, s_nothing).IsSettled);
    }

    [Fact]
    public void Record_that_is_left_where_the_store_has_no_document_is_taken_before_it_is_due_only()
    {
        var (left, grain, record) = (new LeftRecords(), GrainId.Create("a", "b"), (Guid.NewGuid(), s_delay));
        left.Leave(grain, "state", record, Guid.Empty, TimeSpan.Zero);
        Assert.Equal(record, left.Take(grain, "state", Guid.Empty, s_delay - TimeSpan.FromTicks(1)));
        // Another activation may have written, settled it, and cleared the state.
        left.Leave(grain, "state", record, Guid.Empty, TimeSpan.Zero);
        Assert.Null(left.Take(grain, "state", Guid.Empty, s_delay));
        var stamp = Guid.NewGuid();
        left.Leave(grain, "state", record, stamp, TimeSpan.Zero);
        Assert.Equal(record, left.Take(grain, "state", stamp, s_delay * 10));
    }

    [Fact]
    public void Visits_of_unknown_records_are_forgotten_beyond_a_bound_and_a_forgotten_one_is_settled_later()
    {
        var first = Guid.NewGuid();
        _records.Answer(first, s_delay, s_nothing);
        for (var other = 0; other < WakeUpRecords.MaxVisits; other++)
            _records.Answer(Guid.NewGuid(), s_delay, s_nothing);
        _records.FoundNothing(_records.Begin());
        _records.Wrote(_records.Begin());
        // As if it came for the first time.
        Assert.True(_records.Answer(first, s_delay, s_nothing).Fences);
        _records.FoundNothing(_records.Begin());
        _records.Wrote(_records.Begin());
        Assert.True(_records.Answer(first, s_delay, s_nothing).IsSettled);
    }

    [Fact]
    public void Key_of_a_record_names_the_state()
    {
        var record = Guid.NewGuid();
        Assert.True(OutboxWakeUps.TryParseKey(OutboxWakeUps.KeyOf("a state", record), out var state, out var read));
        Assert.Equal(("a state", record), (state, read));
        foreach (var wrong in (string?[])[null, "", $"{record:N}", "no id"])
            Assert.False(OutboxWakeUps.TryParseKey(wrong, out _, out _));
    }

    [Theory]
    [InlineData("ledger", "7", "ledger/7")]
    [InlineData("ledger", "a/b", "ledger/a/b")]
    [InlineData("shop/ledger", "7", "/11/shop/ledger/7")]
    [InlineData("shop/ledger/", "/", "/12/shop/ledger///")]
    public void Value_of_a_record_is_its_grain(string type, string key, string value)
    {
        var grain = GrainId.Create(type, key);
        Assert.Equal(value, GrainText.Of(grain));
        Assert.True(GrainText.TryParse(value, out var read));
        Assert.Equal(grain, read);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("ledger")]
    [InlineData("/")]
    [InlineData("/7")]
    [InlineData("/x/ledger/7")]
    [InlineData("/0//7")]
    [InlineData("/5/ledger/7")]
    [InlineData("/8/ledger/7")]
    [InlineData("/-1/ledger/7")]
    public void Value_that_names_no_grain_is_not_read(string? value) => Assert.False(GrainText.TryParse(value, out _));

    [Theory]
    [InlineData(0, 30)]
    [InlineData(1, 60)]
    [InlineData(4, 300)]
    [InlineData(1_000, 300)]
    public void Wait_after_a_failure_grows_with_the_failures(int failures, int seconds) =>
        Assert.Equal(TimeSpan.FromSeconds(seconds), OutboxDispatcher.DelayAfter(s_delay, failures));

    private Guid Store()
    {
        var record = Guid.NewGuid();
        _records.Stored(record, TimeSpan.Zero);
        return record;
    }
}
