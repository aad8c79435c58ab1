namespace OrleansMq.Gateways.Amqp.Wire.Methods;

/// <summary>access.request: asks for a ticket.</summary>
internal readonly record struct AccessRequest(string Realm, bool Exclusive, bool Passive, bool Active, bool Writes, bool Reads) : IMethod
{
    public static MethodId Id => new(30, 10);

    MethodId IMethod.Id => Id;

    public static AccessRequest Read(ref FieldReader reader) =>
        new(reader.ReadShortString(), reader.ReadBit(), reader.ReadBit(), reader.ReadBit(), reader.ReadBit(), reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(Realm);
        writer.WriteBit(Exclusive);
        writer.WriteBit(Passive);
        writer.WriteBit(Active);
        writer.WriteBit(Writes);
        writer.WriteBit(Reads);
    }
}

/// <summary>access.request-ok: the ticket, which nothing uses.</summary>
internal readonly record struct AccessRequestOk(ushort Ticket) : IMethod
{
    public static MethodId Id => new(30, 11);

    MethodId IMethod.Id => Id;

    public static AccessRequestOk Read(ref FieldReader reader) => new(reader.ReadUInt16());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(Ticket);
    }
}
