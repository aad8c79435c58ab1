using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace OrleansMq.Consumers;

/// <summary>Ids of deliveries, by which a grain is asked whether it has one. Each is of one call, in any process. Thread-safe.</summary>
internal static class DeliveryIds
{
    private static readonly long s_process = MemoryMarshal.Read<long>(RandomNumberGenerator.GetBytes(sizeof(long)));
    private static long s_last;

    /// <summary>Returns an id that no other delivery has.</summary>
    public static Guid Next() => new(MemoryMarshal.AsBytes<long>([s_process, Interlocked.Increment(ref s_last)]));
}
