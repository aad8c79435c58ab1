using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using OrleansMq.Api;
using OrleansMq.Gateways.Http.Lines;
using OrleansMq.Gateways.Http.Queueing;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>Answers with a queue's records.</summary>
public sealed class QueueRecordWriterTests
{
    private static readonly QueueDelivery Delivery = new(new QueueLock(Guid.NewGuid(), 1, 1),
        [.. Enumerable.Range(0, 3).Select(static offset => new QueueRecord(offset, 0, null, new byte[100_000], [], 1, 0, false))]);

    [Fact]
    public async Task Answer_to_a_connection_that_has_ended_fails_before_the_request_is_aborted()
    {
        var pipe = new Pipe();
        await pipe.Reader.CompleteAsync();
        var http = new DefaultHttpContext();
        http.Features.Set<IHttpResponseBodyFeature>(new Body(pipe.Writer));
        using var writer = WriterOf(http);
        await Assert.ThrowsAsync<ConnectionAbortedException>(() => writer.WriteAsync(Delivery));
        Assert.False(http.RequestAborted.IsCancellationRequested);
    }

    [Fact]
    public async Task Answer_of_an_aborted_request_fails()
    {
        var http = new DefaultHttpContext { RequestAborted = new CancellationToken(canceled: true) };
        http.Features.Set<IHttpResponseBodyFeature>(new Body(new Uncancelled(PipeWriter.Create(new MemoryStream()))));
        using var writer = WriterOf(http);
        await Assert.ThrowsAsync<ConnectionAbortedException>(() => writer.WriteAsync(Delivery));
    }

    private static QueueRecordWriter WriterOf(HttpContext http) =>
        new(http, new DecompressedReads(DecompressedReads.DefaultBytes), TimeProvider.System, isBase64: true);

    private sealed class Body(PipeWriter writer) : IHttpResponseBodyFeature
    {
        public Stream Stream => Writer.AsStream();
        public PipeWriter Writer { get; } = writer;

        public void DisableBuffering()
        {
        }

        public Task StartAsync(CancellationToken cancellationToken = default) => Task.CompletedTask;

        public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public Task CompleteAsync() => Task.CompletedTask;
    }

    /// <summary>Answers a cancelled flush as one that is done, as the server does.</summary>
    private sealed class Uncancelled(PipeWriter inner) : PipeWriter
    {
        public override void Advance(int bytes) => inner.Advance(bytes);

        public override void CancelPendingFlush() => inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => inner.Complete(exception);

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) =>
            inner.FlushAsync(CancellationToken.None);

        public override Memory<byte> GetMemory(int sizeHint = 0) => inner.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => inner.GetSpan(sizeHint);
    }
}
