using System.Collections.Concurrent;

namespace OrleansMq.Client;

/// <summary>A pool of batches with their memory. Keeps at most as many as fill the producer's buffer.</summary>
internal sealed class BatchPool(ProducerOptions options) : IDisposable
{
    private readonly int _limit = (int)Math.Clamp(options.BufferMemory / options.BatchSize, 1, 4096);
    private readonly ConcurrentQueue<ProduceBatch> _free = new();
    private int _count;
    private volatile bool _disposed;

    public ProduceBatch Rent()
    {
        if (!_free.TryDequeue(out var batch))
            return new ProduceBatch(options.Compression, options.Codecs);
        Interlocked.Decrement(ref _count);
        return batch;
    }

    public void Return(ProduceBatch batch)
    {
        if (_disposed || Interlocked.Increment(ref _count) > _limit)
        {
            Interlocked.Decrement(ref _count);
            batch.Dispose();
            return;
        }
        batch.Reset();
        _free.Enqueue(batch);
    }

    public void Dispose()
    {
        _disposed = true;
        while (_free.TryDequeue(out var batch))
            batch.Dispose();
    }
}
