using System.Net;
using System.Net.Http.Headers;

namespace OrleansMq.Client;

/// <summary>
/// A record batch as a request body, without a copy. The batch's memory is borrowed. <see cref="DetachAsync"/> returns it, and completes
/// only when nothing reads it any more, even if the HTTP handler misbehaves.
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

    /// <summary>Whether any byte of the batch may have been sent. If so, the broker may have appended it.</summary>
    public bool WasStarted { get; private set; }

    /// <summary>Returns the memory to its owner.</summary>
    public ValueTask DetachAsync()
    {
        var before = Interlocked.CompareExchange(ref _state, Detached, Idle);
        _batch = before == Sending ? _batch : default;
        return before == Sending ? new ValueTask(_sent.Task) : default;
    }

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        // A second attempt by the handler would send the batch twice. Only the producer decides about a retry.
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
