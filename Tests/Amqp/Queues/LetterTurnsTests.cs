using System.Globalization;
using System.Text;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Whose turn it is among messages of a queue whose dead letters wait.</summary>
public sealed class LetterTurnsTests : IAsyncLifetime, IDeadLetters
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-turns").FullName;
    private readonly ManualClock _clock = new();
    private readonly HashSet<long> _stuck = [];
    private LocalBroker _broker = null!;
    private LogQueue _queue = null!;

    private LogLetters Letters => _queue.Letters;

    public async Task InitializeAsync()
    {
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = _directory });
        var state = new QueueState { Name = "q", Id = 1, Durable = true };
        _queue = await LogQueue.OpenAsync(_broker, "/", state, PolicySet.Empty.SettingsOf(state), this, _clock, EngineLog.Silent,
            static () => new(true));
    }

    public async Task DisposeAsync()
    {
        await _queue.DisposeAsync();
        await _broker.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Message_behind_one_that_is_never_stored_is_tried_after_the_pause()
    {
        _stuck.Add(0);
        Assert.False(await TryAsync(0));
        Assert.Null(await TryAsync(1));
        Assert.Equal((2 * Second, Second), (Letters.WaitOf(0), Letters.WaitOf(1)));
        _clock.Advance(Second);
        // The first one yields, also where it comes first.
        Assert.Null(await TryAsync(0));
        Assert.Equal(0L, Assert.Single(Letters.Yielding()));
        Assert.True(await TryAsync(1));
        Assert.False(Letters.AreStuck);
        Assert.True(await TryAsync(2));
    }

    [Fact]
    public async Task Messages_that_are_never_stored_take_turns()
    {
        const int Count = 4;
        for (var position = 0; position < Count; position++)
            _stuck.Add(position);
        Assert.False(await TryAsync(0));
        var turns = new List<long> { 0 };
        for (var turn = 1; turn < Count; turn++)
            await TakeTurnAsync(Letters.Wait);
        Assert.Equal([0L, 1L, 2L, 3L], turns);
        // All have had a turn. The next round begins when none other has come.
        await TakeTurnAsync(Letters.Wait);
        Assert.Equal(Count, turns.Count);
        await TakeTurnAsync(Letters.Yield);
        Assert.Equal([0L, 1L, 2L, 3L, 0L], turns);
        await TakeTurnAsync(Letters.Wait);
        Assert.Equal([0L, 1L, 2L, 3L, 0L, 1L], turns);

        // The first message comes first.
        async Task TakeTurnAsync(TimeSpan wait)
        {
            _clock.Advance(wait);
            for (var position = 0L; position < Count; position++)
            {
                if (await TryAsync(position) is not null)
                    turns.Add(position);
            }
        }
    }

    [Fact]
    public async Task Batch_with_a_message_that_was_not_tried_has_its_turn()
    {
        _stuck.Add(0);
        Assert.False(await TryAsync(0));
        _clock.Advance(Second);
        var areStored = await Letters.TryPublishAsync([Dead(0), Dead(1)]);
        Assert.NotNull(areStored);
        Assert.Equal((false, true), (areStored[0], areStored[1]));
    }

    [Fact]
    public async Task Lone_message_is_tried_again_when_it_has_yielded_and_flows_when_it_is_stored()
    {
        _stuck.Add(0);
        Assert.False(await TryAsync(0));
        _clock.Advance(Second);
        Assert.Null(await TryAsync(0));
        _stuck.Clear();
        _clock.Advance(Letters.WaitOf(0));
        Assert.True(await TryAsync(0));
        Assert.False(Letters.AreStuck);
        Assert.Empty(Letters.Yielding());
    }

    Task<bool> IDeadLetters.PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
        HashSet<long>? stored) =>
        Task.FromResult(!_stuck.Contains(long.Parse(Encoding.UTF8.GetString(message.Body.Span), CultureInfo.InvariantCulture)));

    private static (HeldMessage Message, DeathReason Reason) Dead(long position) => (new HeldMessage(new AmqpMessage("", "q",
        ContentProperties.None, Encoding.UTF8.GetBytes(position.ToString(CultureInfo.InvariantCulture)), 0), new MessageHold(position, 0),
        IsRedelivered: false), DeathReason.Expired);

    // Null: it was put off.
    private async Task<bool?> TryAsync(long position) => (await Letters.TryPublishAsync([Dead(position)]))?[0];
}
