using OrleansMq.Records;

namespace OrleansMq.Gateways.Connections;

/// <summary>One response on its way to a client: parts in memory, and records that may still be in a file. Disposed once it is
/// sent.</summary>
internal abstract class Response : IDisposable
{
    /// <summary>Whether the connection is closed instead of answered: a client that expects no response learns of an error in no other
    /// way.</summary>
    public bool ClosesConnection { get; set; }

    /// <summary>The size of the largest records of this response, in bytes.</summary>
    public int LargestRecords { get; protected set; }

    /// <summary>Whether some of the records are still in a file.</summary>
    public bool HasSlices { get; protected set; }

    /// <summary>The size so far in bytes, with everything that goes on the wire.</summary>
    public abstract long Length { get; }

    /// <summary>A response that closes the connection.</summary>
    public static Response Close() => new Closing();

    /// <summary>Completes the response and returns its parts in order.</summary>
    public abstract IEnumerable<ResponsePart> Parts();

    /// <inheritdoc/>
    public abstract void Dispose();

    private sealed class Closing : Response
    {
        public Closing() => ClosesConnection = true;

        public override long Length => 0;

        public override IEnumerable<ResponsePart> Parts() => [];

        public override void Dispose() { }
    }
}

/// <summary>A part of a response: in memory, or in a file.</summary>
internal readonly record struct ResponsePart(ReadOnlyMemory<byte> Memory, RecordSlice? Slice)
{
    /// <summary>The size in bytes.</summary>
    public int Length => Slice?.Length ?? Memory.Length;
}
