using System.Buffers;

namespace OrleansMq.Connections;

/// <summary>
/// The memory of one direction of a connection: blocks as large as what goes through it lately, from the process' pool of arrays. A
/// connection that carries small messages holds small blocks; one that carries batches gets blocks that hold several, so that a message is
/// one piece of memory and one call of the system moves many. Used by one thread at a time.
/// </summary>
internal sealed class AdaptiveBlocks : MemoryPool<byte>
{
    /// <summary>The smallest block, a page: what an idle connection holds.</summary>
    public const int Smallest = 4 << 10;

    /// <summary>As large as blocks get for messages that share one: three batches of 64 KB with what is around them, and half of what a
    /// processor's cache of the second level holds.</summary>
    public const int Largest = 256 << 10;

    /// <summary>The size of the next block, at least; it may be asked for more.</summary>
    public int BlockBytes { get; set; } = Smallest;

    /// <inheritdoc/>
    public override int MaxBufferSize => Array.MaxLength;

    /// <inheritdoc/>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1) => new Block(Math.Max(minBufferSize, BlockBytes));

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
    }

    private sealed class Block(int minBytes) : IMemoryOwner<byte>
    {
        private byte[]? _array = ArrayPool<byte>.Shared.Rent(minBytes);

        public Memory<byte> Memory => _array;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _array, null) is { } array)
                ArrayPool<byte>.Shared.Return(array);
        }
    }
}
