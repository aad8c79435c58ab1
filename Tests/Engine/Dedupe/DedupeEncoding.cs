using OrleansMq.Dedupe;

namespace OrleansMq.Tests.Engine.Dedupe;

internal static class DedupeEncoding
{
    /// <summary>Encodes what is remembered now.</summary>
    public static byte[] EncodeSnapshot(this LogDedupe dedupe)
    {
        var capture = dedupe.Capture(long.MaxValue);
        capture.Encode(new Lock());
        return capture.Bytes;
    }
}
