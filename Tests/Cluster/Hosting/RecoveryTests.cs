using System.Text.Json;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>How a silo recovers a directory after a crash or damage.</summary>
public sealed class RecoveryTests : IDisposable
{
    private readonly TempDirectory _data = new();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Interrupted_creation_is_completed()
    {
        var topic = new TopicState { Name = "orders", TopicId = Guid.NewGuid(), Partitions = 2, Status = TopicStatus.Creating };
        await StoreAsync(CatalogueOf(topic.TopicId, TopicStatus.Creating), topic);
        await using var silo = await TestSilo.StartAsync(_data.Path);
        Assert.Equal(new TopicListing("orders", topic.TopicId, 2), Assert.Single(await silo.Outside.ListTopicsAsync()));
        Assert.Equal(0, (await silo.Outside.ProduceAsync(new TopicPartition("orders", 1), TestBatches.Of("a"), Acks.All)).BaseOffset);
    }

    [Fact]
    public async Task Interrupted_deletion_is_completed()
    {
        await using (var silo = await TestSilo.StartAsync(_data.Path))
            await silo.Inside.CreateTopicAsync(new NewTopic("orders", 2));
        var topic = await ReadAsync();
        await StoreAsync(CatalogueOf(topic.TopicId, TopicStatus.Deleting), null);
        await using (var silo = await TestSilo.StartAsync(_data.Path))
        {
            Assert.Empty(await silo.Outside.ListTopicsAsync());
            await silo.Outside.CreateTopicAsync(new NewTopic("orders", 1));
            Assert.Equal(0, (await silo.Outside.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("a"), Acks.All)).BaseOffset);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Topic_without_its_document_is_reported_everywhere_and_can_be_deleted(bool inside)
    {
        await using (var silo = await TestSilo.StartAsync(_data.Path))
            await silo.Inside.CreateTopicAsync(new NewTopic("orders", 2));
        Directory.Delete(Path.Combine(_data.Path, "state", "topic"), recursive: true);
        await using (var silo = await TestSilo.StartAsync(_data.Path))
        {
            var broker = inside ? silo.Inside : silo.Outside;
            var partition = new TopicPartition("orders", 0);
            var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.DescribeTopicAsync("orders"));
            Assert.Equal(ErrorCode.KafkaStorageError, refused.Code);
            Assert.Contains("topic/orders", refused.Message, StringComparison.Ordinal);
            var unfound = await Assert.ThrowsAsync<BrokerException>(async () => await broker.GetTopicAsync("orders"));
            Assert.Equal(ErrorCode.KafkaStorageError, unfound.Code);
            var produced = await broker.ProduceAsync(partition, TestBatches.Of("a"), Acks.All);
            Assert.Equal((ErrorCode.KafkaStorageError, refused.Message), Outcome(produced));
            await broker.DeleteTopicAsync("orders");
            await broker.CreateTopicAsync(new NewTopic("orders", 1));
            Assert.Equal(0, (await broker.ProduceAsync(partition, TestBatches.Of("a"), Acks.All)).BaseOffset);
        }
        await using var standalone = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = _data.Path });
        Assert.Equal(1, Assert.Single((await standalone.DescribeTopicAsync("orders")).Partitions).LogEndOffset);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Partition_without_its_directory_is_reported_and_others_continue(bool inside)
    {
        await using (var silo = await TestSilo.StartAsync(_data.Path))
            await silo.Inside.CreateTopicAsync(new NewTopic("orders", 2));
        Directory.Delete(Path.Combine(_data.Path, "logs", "orders-1"), recursive: true);
        await using (var silo = await TestSilo.StartAsync(_data.Path))
        {
            var broker = inside ? silo.Inside : silo.Outside;
            var (error, message) = Outcome(await broker.ProduceAsync(new TopicPartition("orders", 1), TestBatches.Of("a"), Acks.All));
            Assert.Equal(ErrorCode.KafkaStorageError, error);
            Assert.Contains("orders-1", message, StringComparison.Ordinal);
            Assert.Equal(0, (await broker.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("a"), Acks.All)).BaseOffset);
            var described = await broker.DescribeTopicAsync("orders");
            Assert.Equal((0, -1), (described.Partitions[0].Leader, described.Partitions[1].Leader));
            Assert.Equal(message, described.Partitions[1].OfflineReason);
            var one = Assert.Single((await broker.DescribeClusterAsync()).Brokers);
            Assert.Equal((1, 1), (one.OnlinePartitions, one.OfflinePartitions));
            await broker.AlterTopicAsync("orders", new Dictionary<string, string?> { ["retention.ms"] = "-1" });
        }
    }

    [Fact]
    public async Task Name_is_free_again_after_a_creation_whose_undo_failed()
    {
        var files = new FillingFiles(new MemoryFileSystem());
        await using var silo = await TestSilo.StartAsync("/data",
            configure: options => options with { FileSystem = files, MinFreeBytes = 0 });
        await FailedAsync("deleted");
        await silo.Inside.DeleteTopicAsync("deleted");
        Assert.Single((await silo.Inside.CreateTopicAsync(new NewTopic("deleted", 1))).Partitions);

        await FailedAsync("again");
        Assert.Single((await silo.Inside.CreateTopicAsync(new NewTopic("again", 1))).Partitions);
        Assert.Equal(["again", "deleted"], (await silo.Inside.ListTopicsAsync()).Select(topic => topic.Name));

        async Task FailedAsync(string topic)
        {
            // Room for the documents, but neither for all partitions nor for the undo.
            files.FullAt = $"{topic}-70";
            var refused = await Assert.ThrowsAsync<BrokerException>(() => silo.Inside.CreateTopicAsync(new NewTopic(topic, 100)).AsTask());
            Assert.Equal(ErrorCode.KafkaStorageError, refused.Code);
            Assert.True(files.IsFull);
            files.Empty();
        }
    }

    [Fact]
    public async Task Topics_are_created_and_deleted_at_once()
    {
        await using var silo = await TestSilo.StartAsync(_data.Path);
        var topics = Enumerable.Range(0, 40).Select(number => $"topic-{number}").ToArray();
        await Task.WhenAll(topics.Select(topic => silo.Outside.CreateTopicAsync(new NewTopic(topic, 3)).AsTask()));
        var twice = await Task.WhenAll(Enumerable.Range(0, 4).Select(async _ =>
        {
            try
            {
                await silo.Outside.CreateTopicAsync(new NewTopic("one", 3));
                return ErrorCode.None;
            }
            catch (BrokerException refused)
            {
                return refused.Code;
            }
        }));
        Assert.Equal([ErrorCode.None, .. Enumerable.Repeat(ErrorCode.TopicAlreadyExists, 3)], twice.Order());
        await Task.WhenAll(topics[..20].Select(topic => silo.Outside.DeleteTopicAsync(topic).AsTask()));
        Assert.Equal(topics[20..].Append("one").Order(StringComparer.Ordinal),
            (await silo.Inside.ListTopicsAsync()).Select(topic => topic.Name));
    }

    private static (ErrorCode Error, string? Message) Outcome(ProduceResult result) => (result.Error, result.Message);

    private static TopicCatalogue CatalogueOf(Guid topicId, TopicStatus status) =>
        TopicCatalogue.Empty with { Topics = TopicCatalogue.Empty.Topics.Add("orders", new(topicId, status)) };

    private FileStateStore OpenStore()
    {
        Directory.CreateDirectory(_data.Path);
        return FileStateStore.Open(DiskFileSystem.Instance, DataDirectory.StatePathOf(_data.Path));
    }

    private async Task<TopicState> ReadAsync() =>
        JsonSerializer.Deserialize((await OpenStore().ReadAsync(TopicState.KeyOf("orders")))!.Value.Span, TopicJson.Default.TopicState)!;

    private async Task StoreAsync(TopicCatalogue catalogue, TopicState? topic)
    {
        var store = OpenStore();
        // As earlier versions wrote it, which the start divides into pages.
        const string whole = WholeCatalogue.Key;
        var etag = (await store.ReadAsync(whole))?.ETag;
        await store.WriteAsync(whole, JsonSerializer.SerializeToUtf8Bytes(catalogue, TopicJson.Default.TopicCatalogue), etag);
        if (topic is not null)
        {
            var value = JsonSerializer.SerializeToUtf8Bytes(topic, TopicJson.Default.TopicState);
            await store.WriteAsync(TopicState.KeyOf(topic.Name), value, null);
        }
    }

    /// <summary>A disk that takes nothing more from when a file is opened: not even changes of documents, for which the journal keeps
    /// room.</summary>
    private sealed class FillingFiles(IFileSystem inner) : WrappedFileSystem(inner)
    {
        private volatile bool _isFull;

        /// <summary>A part of that file's path; null: none.</summary>
        public string? FullAt { get; set; }

        public bool IsFull => _isFull;

        public void Empty() => (FullAt, _isFull) = (null, false);

        public override IFile Open(string path, FileOpening mode)
        {
            if (FullAt is { } part && path.Contains(part, StringComparison.Ordinal))
                _isFull = true;
            return new FillingFile(this, Inner.Open(path, mode));
        }
    }

    private sealed class FillingFile(FillingFiles files, IFile inner) : WrappedFile(inner)
    {
        public override void Write(ReadOnlySpan<byte> bytes, long position)
        {
            ThrowIfFull();
            base.Write(bytes, position);
        }

        public override void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
        {
            ThrowIfFull();
            base.Write(buffers, position);
        }

        private void ThrowIfFull()
        {
            if (files.IsFull)
                throw new DiskFullException(Path);
        }
    }
}
