using System.Net;
using System.Net.Http.Headers;

namespace OrleansMq.Client.Http;

/// <summary>
/// A record batch as the body of a request, without a copy. The batch's memory is lent: <see cref="DetachAsync"/> takes it back, and
/// returns only when nothing reads it any more, whatever the handler that was given the request does.
/// </summary>
internal sealed class BatchContent : HttpContent
{
    private const int Idle = 0;
    private const int Sending = 1;
    private const int Detached = 2;

    private static readonly MediaTypeHeaderValue MediaType = new(HttpContract.RecordBatchMediaType);
    private readonly TaskCompletionSource _sent = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly int _length;
    private ReadOnlyMemory<byte> _batch;
    private int _state = Idle;

    public BatchContent(ReadOnlyMemory<byte> batch)
    {
        _batch = batch;
        _length = batch.Length;
        Headers.ContentType = MediaType;
    }

    /// <summary>Whether any byte of the batch may have left: then the broker may have appended it.</summary>
    public bool WasStarted { get; private set; }

    /// <summary>Takes the memory back.</summary>
    public ValueTask DetachAsync()
    {
        var before = Interlocked.CompareExchange(ref _state, Detached, Idle);
        _batch = before == Sending ? _batch : default;
        return before == Sending ? new ValueTask(_sent.Task) : default;
    }

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        // A second attempt by a handler would send the batch twice: whether to do that is for the producer to decide.
        if (Interlocked.CompareExchange(ref _state, Sending, Idle) != Idle)
            throw new IOException("The record batch was sent already, or its memory was taken back.");
        WasStarted = true;
        try
        {
            await stream.WriteAsync(_batch, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _batch = default;
            _sent.SetResult();
        }
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override bool TryComputeLength(out long length)
    {
        length = _length;
        return true;
    }
}
