namespace OrleansMq.Tests.Process.Crash;

/// <summary>A file that a producer reads, with positions at which the broker is killed. The producer goes on reading as soon as it is dead,
/// so that records are sent to none. Only the next position waits until the broker is there again.</summary>
/// <param name="source">The file.</param>
/// <param name="moments">The positions.</param>
/// <param name="kill">Kills the broker, and returns its restart.</param>
internal sealed class KillingStream(Stream source, IEnumerable<long> moments, Func<Task<Task>> kill) : Stream
{
    private readonly Queue<long> _moments = new(moments.Order());
    private Task _last = Task.CompletedTask;

    /// <summary>Completes when the broker that was killed at the last reached position is there again.</summary>
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
            _last = await kill();
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
