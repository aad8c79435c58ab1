using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Brokers;

public sealed class ProducerIdsTests
{
    private static MemoryFileSystem Empty()
    {
        var files = new MemoryFileSystem();
        files.CreateDirectory("/data");
        files.FlushDirectory("/");
        return files;
    }

    private static ProducerIds Open(IFileSystem files) => new(FileStateStore.Open(files, "/data/state"));

    [Fact]
    public async Task Ids_start_at_zero_with_epoch_zero_and_never_repeat()
    {
        var ids = Open(Empty());
        Assert.Equal(new ProducerIdentity(0, 0), await ids.NextAsync(default));
        var taken = await Task.WhenAll(Enumerable.Range(0, 2500).Select(_ => ids.NextAsync(default).AsTask()));
        Assert.Equal(Enumerable.Range(1, 2500).Select(id => (long)id), taken.Select(identity => identity.ProducerId).Order());
    }

    [Fact]
    public async Task Block_of_ids_costs_one_write()
    {
        var files = Empty();
        var ids = Open(files);
        for (var i = 0; i < 1000; i++)
            await ids.NextAsync(default);
        Assert.Equal(1, files.Traffic.Sum(file => file.Value.Flushes));
        await ids.NextAsync(default);
        Assert.Equal(2, files.Traffic.Sum(file => file.Value.Flushes));
    }

    [Fact]
    public async Task Ids_never_repeat_after_a_power_cut_at_any_time()
    {
        for (var seed = 0; seed < 50; seed++)
        {
            var files = Empty();
            var highest = -1L;
            for (var life = 0; life < 3; life++)
            {
                var ids = Open(files);
                for (var i = 0; i < 700; i++)
                {
                    var id = (await ids.NextAsync(default)).ProducerId;
                    Assert.True(id > highest, $"seed {seed}: {id} after {highest}");
                    highest = id;
                }
                files = files.PowerCut(new Random(seed * 10 + life));
            }
        }
    }

    [Fact]
    public async Task Ids_continue_without_repeating_after_a_failed_write()
    {
        var files = Empty();
        var ids = Open(files);
        files.Capacity = 10;
        await Assert.ThrowsAsync<DiskFullException>(async () => await ids.NextAsync(default));
        files.Capacity = long.MaxValue;
        Assert.Equal(0, (await ids.NextAsync(default)).ProducerId);
    }

    [Fact]
    public async Task Ids_are_above_those_that_partitions_remember_when_the_document_is_lost()
    {
        var files = Empty();
        var log = new RecordedLog();
        await MendAsync(files, 4711, log);
        Assert.Equal(4712 + ProducerIdState.Skipped, (await Open(files).NextAsync(default)).ProducerId);
        Assert.Contains("4711", Assert.Single(log.At(EngineLogLevel.Error)), StringComparison.Ordinal);
        await MendAsync(files, 4711, log);
        Assert.Single(log.At(EngineLogLevel.Error));
        Assert.Equal(4712 + ProducerIdState.Skipped + ProducerIdState.BlockSize, (await Open(files).NextAsync(default)).ProducerId);
    }

    private static async Task MendAsync(MemoryFileSystem files, long highestSeen, RecordedLog log)
    {
        await using var store = JournaledStateStore.Open(files, "/data/state-journal", FileStateStore.Open(files, "/data/state"), log);
        await ProducerIds.MendAsync(store, highestSeen, log);
    }

    [Fact]
    public async Task Damaged_document_of_ids_is_set_aside_and_ids_continue_above()
    {
        const string path = "/data/state/producer-ids/cluster.json";
        var files = Empty();
        var log = new RecordedLog();
        await Open(files).NextAsync(default);
        using (var file = files.Open(path, FileOpening.CreateOrTruncate))
            file.Write("{"u8, 0);
        await MendAsync(files, -1, log);
        Assert.Equal(1 + ProducerIdState.Skipped, (await Open(files).NextAsync(default)).ProducerId);
        Assert.True(files.FileExists(path + ".damaged"));
        Assert.Contains(log.At(EngineLogLevel.Error), line => line.Contains(path, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Broker_without_its_document_of_ids_takes_no_new_producer_for_a_known_one()
    {
        var files = Empty();
        var options = new BrokerOptions { DataDirectory = "/data", FileSystem = files, MinFreeBytes = 0 };
        long known;
        await using (var broker = await LocalBroker.OpenAsync(options))
        {
            await broker.CreateTopicAsync(new NewTopic("orders"));
            known = (await broker.InitProducerIdAsync()).ProducerId;
            Assert.Equal(0, (await broker.ProduceAsync(Orders, TestBatches.From(new(known, 0), 0, "a"), Acks.All)).BaseOffset);
        }
        files.DeleteFile("/data/state/producer-ids/cluster.json");
        await using var again = await LocalBroker.OpenAsync(options);
        var next = (await again.InitProducerIdAsync()).ProducerId;
        Assert.True(next > known);
        Assert.Equal(1, (await again.ProduceAsync(Orders, TestBatches.From(new(next, 0), 0, "b"), Acks.All)).BaseOffset);
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(long.MaxValue - ProducerIdState.Skipped - 1)]
    [InlineData(ProducerIdState.MadeUpFrom)]
    [InlineData(ProducerIdState.MadeUpFrom - 1)]
    public async Task Batch_with_a_made_up_producer_id_keeps_no_broker_from_starting_and_giving_out_ids(long madeUp)
    {
        var files = Empty();
        var options = new BrokerOptions { DataDirectory = "/data", FileSystem = files, MinFreeBytes = 0 };
        await using (var broker = await LocalBroker.OpenAsync(options))
        {
            await broker.CreateTopicAsync(new NewTopic("orders"));
            Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(Orders, TestBatches.From(new(4711, 0), 0, "a"), Acks.All)).Error);
            Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(Orders, TestBatches.From(new(madeUp, 0), 0, "b"), Acks.All)).Error);
        }
        await using var again = await LocalBroker.OpenAsync(options);
        var next = (await again.InitProducerIdAsync()).ProducerId;
        Assert.Equal((madeUp < ProducerIdState.MadeUpFrom ? madeUp : 4711) + 1 + ProducerIdState.Skipped, next);
        for (var taken = 0; taken <= ProducerIdState.BlockSize; taken++)
            Assert.Equal(++next, (await again.InitProducerIdAsync()).ProducerId);
    }

    [Theory]
    [InlineData(long.MaxValue)]
    [InlineData(long.MaxValue - ProducerIdState.BlockSize + 1)]
    public async Task Ids_that_are_used_up_are_refused_in_words(long next)
    {
        var files = Empty();
        var options = new BrokerOptions { DataDirectory = "/data", FileSystem = files, MinFreeBytes = 0 };
        await (await LocalBroker.OpenAsync(options)).DisposeAsync();
        await FileStateStore.Open(files, "/data/state").WriteAsync(ProducerIdState.Key,
            JsonSerializer.SerializeToUtf8Bytes(new ProducerIdState(next), TopicJson.Default.ProducerIdState), null);
        await using var broker = await LocalBroker.OpenAsync(options);
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.InitProducerIdAsync());
        Assert.Equal(ErrorCode.KafkaStorageError, refused.Code);
        Assert.Contains($"{ProducerIdState.Key}' continues at {next}", refused.Message, StringComparison.Ordinal);
    }

    private static TopicPartition Orders => new("orders", 0);
}
