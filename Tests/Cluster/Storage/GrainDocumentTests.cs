using Orleans.Storage;
using OrleansMq.Grains.Storage;

namespace OrleansMq.Tests.Cluster.Storage;

/// <summary>What a grain may assume about its document, with a storage that fails on cue.</summary>
public sealed class GrainDocumentTests
{
    private readonly FailingStorage _storage = new();

    private GrainDocument<string> NewDocument() => new(_storage, "topic", GrainId.Create("omq.topic", "orders"));

    [Fact]
    public async Task Write_in_progress_is_invisible_until_stored()
    {
        var document = NewDocument();
        await document.WriteAsync("old");
        _storage.Holding = new TaskCompletionSource();
        var writing = document.WriteAsync("new");
        Assert.False(writing.IsCompleted);
        Assert.Equal("old", document.Known);
        _storage.Holding.SetResult();
        await writing;
        Assert.Equal("new", await document.ReadAsync());
    }

    [Theory]
    [InlineData(true, "new")]
    [InlineData(false, "old")]
    public async Task Stored_state_is_reread_after_a_write_with_unknown_outcome(bool wasStored, string expected)
    {
        var document = NewDocument();
        await document.WriteAsync("old");
        _storage.Fail = wasStored ? FailAt.AfterTheWrite : FailAt.BeforeTheWrite;
        var failure = await Assert.ThrowsAsync<BrokerException>(() => document.WriteAsync("new"));
        Assert.Equal(ErrorCode.KafkaStorageError, failure.Code);
        Assert.Contains("topic/orders", failure.Message, StringComparison.Ordinal);
        Assert.Contains("No space left", failure.Message, StringComparison.Ordinal);
        Assert.Equal(expected, await document.ReadAsync());
        await document.WriteAsync("newest");
        Assert.Equal("newest", await NewDocument().ReadAsync());
    }

    [Fact]
    public async Task Activation_that_read_before_anothers_write_is_refused_once()
    {
        var (one, other) = (NewDocument(), NewDocument());
        await one.WriteAsync("first");
        await other.ReadAsync();
        await one.WriteAsync("second");
        Assert.Equal(ErrorCode.KafkaStorageError, (await Assert.ThrowsAsync<BrokerException>(() => other.WriteAsync("lost"))).Code);
        Assert.Equal("second", await other.ReadAsync());
        await other.WriteAsync("third");
        Assert.Equal("third", await NewDocument().ReadAsync());
    }

    [Fact]
    public async Task Cleared_document_is_gone()
    {
        var document = NewDocument();
        await document.WriteAsync("old");
        await document.DeleteAsync();
        Assert.Null(await document.ReadAsync());
        Assert.Null(await NewDocument().ReadAsync());
    }

    private enum FailAt
    {
        Never,
        BeforeTheWrite,
        AfterTheWrite,
    }

    private sealed class FailingStorage : IGrainStorage
    {
        private string? _stored;
        private int _version;

        public FailAt Fail { get; set; }

        public TaskCompletionSource? Holding { get; set; }

        public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            grainState.RecordExists = _stored is not null;
            grainState.State = (T)(object)_stored!;
            grainState.ETag = _stored is null ? null! : $"{_version}";
            return Task.CompletedTask;
        }

        public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            if (Holding is { } holding)
                await holding.Task;
            var fail = Fail;
            Fail = FailAt.Never;
            if (fail == FailAt.BeforeTheWrite)
                throw new IOException("No space left.");
            Compare(grainState.ETag);
            _stored = (string)(object)grainState.State!;
            _version++;
            if (fail == FailAt.AfterTheWrite)
                throw new IOException("No space left.");
            grainState.ETag = $"{_version}";
            grainState.RecordExists = true;
        }

        public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            Compare(grainState.ETag);
            _stored = null;
            grainState.ETag = null!;
            grainState.RecordExists = false;
            return Task.CompletedTask;
        }

        private void Compare(string? etag)
        {
            var stored = _stored is null ? null : $"{_version}";
            if (stored != etag)
                throw new InconsistentStateException("Another wrote.", stored, etag);
        }
    }
}
