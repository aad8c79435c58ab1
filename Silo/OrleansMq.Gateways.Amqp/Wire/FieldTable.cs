using System.Text;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Amqp.Wire;

/// <summary>An entry of a table.</summary>
/// <param name="Name">The name.</param>
/// <param name="Value">The value.</param>
internal readonly record struct FieldEntry(string Name, FieldValue Value);

/// <summary>A table as its bytes, which are well formed and read when they are asked for. Equal if the bytes are.</summary>
/// <param name="Bytes">The entries, without the length before them.</param>
internal readonly record struct FieldTable(ReadOnlyMemory<byte> Bytes)
{
    /// <summary>A table with these entries.</summary>
    public static FieldTable Of(params ReadOnlySpan<(string Name, FieldValue Value)> entries)
    {
        using var output = new PooledBuffer();
        foreach (var (name, value) in entries)
            Append(output, name, value);
        return new FieldTable(output.WrittenSpan.ToArray());
    }

    /// <summary>The entries in their order; a client may have sent a name twice.</summary>
    public IEnumerable<FieldEntry> Entries()
    {
        for (var rest = Bytes; !rest.IsEmpty;)
        {
            var name = rest.Slice(1, rest.Span[0]);
            var value = FieldValue.Read(rest[(1 + name.Length)..], out var size);
            yield return new FieldEntry(Encoding.UTF8.GetString(name.Span), value);
            rest = rest[(1 + name.Length + size)..];
        }
    }

    /// <summary>The first value of a name; null where the table has none.</summary>
    public FieldValue? Find(ReadOnlySpan<byte> name)
    {
        for (var rest = Bytes; !rest.IsEmpty;)
        {
            var length = rest.Span[0];
            var value = FieldValue.Read(rest[(1 + length)..], out var size);
            if (rest.Span.Slice(1, length).SequenceEqual(name))
                return value;
            rest = rest[(1 + length + size)..];
        }
        return null;
    }

    /// <summary>This table with a value: at the place of the name's first entry, which it replaces, else at the end. All other bytes
    /// stay.</summary>
    public FieldTable With(string name, FieldValue value)
    {
        using var output = new PooledBuffer(Bytes.Length + value.Encoded.Length + name.Length + 2);
        var isWritten = false;
        var nameBytes = Encoding.UTF8.GetBytes(name);
        for (var rest = Bytes; !rest.IsEmpty;)
        {
            var length = rest.Span[0];
            FieldValue.Read(rest[(1 + length)..], out var size);
            if (!isWritten && rest.Span.Slice(1, length).SequenceEqual(nameBytes))
            {
                Append(output, name, value);
                isWritten = true;
            }
            else
            {
                output.Write(rest.Span[..(1 + length + size)]);
            }
            rest = rest[(1 + length + size)..];
        }
        if (!isWritten)
            Append(output, name, value);
        return new FieldTable(output.WrittenSpan.ToArray());
    }

    /// <summary>This table without the entries of a name. All other bytes stay.</summary>
    public FieldTable Without(ReadOnlySpan<byte> name)
    {
        using var output = new PooledBuffer(Bytes.Length);
        for (var rest = Bytes; !rest.IsEmpty;)
        {
            var length = rest.Span[0];
            FieldValue.Read(rest[(1 + length)..], out var size);
            if (!rest.Span.Slice(1, length).SequenceEqual(name))
                output.Write(rest.Span[..(1 + length + size)]);
            rest = rest[(1 + length + size)..];
        }
        return new FieldTable(output.WrittenSpan.ToArray());
    }

    /// <inheritdoc/>
    public bool Equals(FieldTable other) => Bytes.Span.SequenceEqual(other.Bytes.Span);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Bytes.Span);
        return hash.ToHashCode();
    }

    private static void Append(PooledBuffer output, string name, FieldValue value)
    {
        var writer = new FieldWriter(output);
        writer.WriteShortString(name);
        writer.WriteOctet((byte)value.Type);
        output.Write(value.Encoded.Span);
    }
}
