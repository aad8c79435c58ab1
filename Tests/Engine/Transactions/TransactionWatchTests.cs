using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Brokers;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Engine.Transactions;

/// <summary>Transactions that are open in partitions for long: a coordinator that is not running is woken, and what no coordinator knows is
/// aborted.</summary>
public sealed class TransactionWatchTests : IAsyncLifetime
{
    private readonly MemoryFileSystem _files = new();
    private readonly RecordedLog _log = new();
    private readonly ManualClock _clock = new();
    private LocalBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await OpenAsync();
        // The records' timestamps are ahead of the clock.
        await _broker.CreateTopicAsync(new NewTopic("t", 2, Configs: new Dictionary<string, string>
        {
            ["message.timestamp.after.max.ms"] = $"{long.MaxValue}",
        }));
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Transaction_that_its_coordinator_knows_is_left_alone()
    {
        var producer = await TestTransactions.InitAsync(_broker, "id", TimeSpan.FromMinutes(10));
        await producer.SendAsync("t", 0, await producer.AddAsync("t", 0), 0, "open");
        await LookForAsync(TimeSpan.FromMinutes(5));
        Assert.Equal(0, Stable(0));
        await producer.EndAsync(isCommit: true);
        Assert.Equal(2, Stable(0));
    }

    [Fact]
    public async Task Transaction_that_its_coordinator_does_not_know_is_aborted()
    {
        var producer = await TestTransactions.InitAsync(_broker, "id");
        var number = await producer.AddAsync("t", 0);
        // As after the restore of the documents to a time before the transaction had this partition.
        await producer.SendAsync("t", 1, number, 0, "hangs");
        await LookForAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(2, Stable(1));
        var line = Assert.Single(_log.At(EngineLogLevel.Error));
        Assert.Contains("t-1: a hanging transaction", line, StringComparison.Ordinal);
        Assert.Contains("'id'", line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(19, 0)]
    [InlineData(21, 2)]
    public async Task Transaction_of_an_unknown_producer_is_aborted_after_the_longest_timeout(int minutes, long stable)
    {
        LoggedTransactions.Append(_broker.Partitions.Single(partition => partition.TopicPartition.Partition == 0),
            _clock.Now, 4711, 0, "of another broker");
        await LookForAsync(TimeSpan.FromMinutes(minutes));
        Assert.Equal(stable, Stable(0));
    }

    [Fact]
    public async Task Transaction_that_was_open_when_the_broker_stopped_times_out_after_its_start()
    {
        var producer = await TestTransactions.InitAsync(_broker, "id", TimeSpan.FromSeconds(20));
        await producer.SendAsync("t", 0, await producer.AddAsync("t", 0), 0, "open");
        await _broker.DisposeAsync();
        _clock.Advance(TimeSpan.FromHours(1));
        _broker = await OpenAsync();
        await Wait.UntilAsync(() => Stable(0) >= 2, TimeSpan.FromSeconds(30));
        Assert.Empty(_log.At(EngineLogLevel.Error));
    }

    private long Stable(int partition) =>
        _broker.Partitions.Single(one => one.TopicPartition.Partition == partition).LastStableOffset;

    private Task<LocalBroker> OpenAsync() =>
        LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = _files, Log = _log, TimeProvider = _clock });

    // The broker's own watch looks by the same clock; one look more or less changes nothing.
    private async Task LookForAsync(TimeSpan time)
    {
        await using var watch = new TransactionWatch(_broker, () => _broker.Transactions,
            _broker.TransactionalIds.Producers, new TransactionOptions(), _clock, _log);
        for (var passed = TimeSpan.Zero; passed <= time; passed += TransactionWatch.Interval)
        {
            await watch.LookAsync(CancellationToken.None);
            _clock.Advance(TransactionWatch.Interval);
        }
    }
}
