using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Reflection;
using System.Text;

namespace OrleansMq.Grains.Access;

/// <summary>What a ticket is bound to: a grain, or the service of one silo, and the interface that it is called by. As bytes it is the
/// same in the process that calls and on the silo that is called, whatever their versions.</summary>
/// <param name="Grain">The grain.</param>
/// <param name="Interface">The interface.</param>
internal readonly record struct CallTarget(GrainId Grain, Type Interface)
{
    /// <summary>The room for the bytes of nearly every target.</summary>
    public const int Room = 512;

    private static readonly ConcurrentDictionary<Type, byte[]> Names = new();

    /// <summary>How many bytes <see cref="Write"/> writes.</summary>
    public int Length => (2 * sizeof(int)) + Grain.Type.AsSpan().Length + Grain.Key.AsSpan().Length + NameOf(Interface).Length;

    /// <summary>Writes the target: the grain's type and key, each with its length, and the interface's name.</summary>
    /// <param name="room">Where to; where it is too small, memory is allocated.</param>
    /// <returns>What was written.</returns>
    public ReadOnlySpan<byte> Write(Span<byte> room)
    {
        var length = Length;
        var bytes = length <= room.Length ? room : new byte[length];
        var rest = Append(Append(bytes, Grain.Type.AsSpan()), Grain.Key.AsSpan());
        var name = NameOf(Interface);
        name.CopyTo(rest);
        return bytes[..(bytes.Length - rest.Length + name.Length)];
    }

    private static Span<byte> Append(Span<byte> bytes, ReadOnlySpan<byte> part)
    {
        BinaryPrimitives.WriteInt32BigEndian(bytes, part.Length);
        part.CopyTo(bytes[sizeof(int)..]);
        return bytes[(sizeof(int) + part.Length)..];
    }

    // The alias is what calls name the interface by; a class may be renamed.
    private static byte[] NameOf(Type type) => Names.GetOrAdd(type,
        static type => Encoding.UTF8.GetBytes(type.GetCustomAttribute<AliasAttribute>()?.Alias ?? type.FullName!));
}
