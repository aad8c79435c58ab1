namespace OrleansMq.Tests.Process.Crash;

/// <summary>A file that a producer reads, with positions at which an action hits the broker. The producer goes on reading meanwhile, so
/// that records are in flight. Only the next position waits until the action is over.</summary>
internal sealed class KillingStream(Stream source, IEnumerable<long> moments, Func<Task> kill) : Stream
{
    private readonly Queue<long> _moments = new(moments.Order());
    private Task _last = Task.CompletedTask;

    /// <summary>Completes when the action at the last reached position is over.</summary>
    public Task LastAsync() => _last;

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => source.Length;
    public override long Position { get => source.Position; set => throw new NotSupportedException(); }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_moments.TryPeek(out var moment) && source.Position >= moment)
        {
            _moments.Dequeue();
            await _last;
            _last = Task.Run(kill, cancellationToken);
        }
        // Up to the next position and no further, in pieces that are small compared with the distance between positions.
        var length = Math.Min(buffer.Length, 64 << 10);
        if (_moments.TryPeek(out moment))
            length = (int)Math.Min(length, Math.Max(1, moment - source.Position));
        return await source.ReadAsync(buffer[..length], cancellationToken);
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Flush() { }
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
            source.Dispose();
        base.Dispose(disposing);
    }
}
