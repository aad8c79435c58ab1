namespace OrleansMq.Gateways.Amqp.Wire.Methods;

/// <summary>channel.open: opens a channel.</summary>
internal readonly record struct ChannelOpen : IMethod
{
    public static MethodId Id => new(20, 10);

    MethodId IMethod.Id => Id;

    public static ChannelOpen Read(ref FieldReader reader)
    {
        reader.SkipShortString(); // Reserved.
        return default;
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(""); // Reserved.
    }
}

/// <summary>channel.open-ok: the channel is open.</summary>
internal readonly record struct ChannelOpenOk : IMethod
{
    public static MethodId Id => new(20, 11);

    MethodId IMethod.Id => Id;

    public static ChannelOpenOk Read(ref FieldReader reader)
    {
        reader.SkipLongString(); // Reserved.
        return default;
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteLongString(default); // Reserved.
    }
}

/// <summary>channel.flow: asks the peer to stop or to resume sending content.</summary>
internal readonly record struct ChannelFlow(bool Active) : IMethod
{
    public static MethodId Id => new(20, 20);

    MethodId IMethod.Id => Id;

    public static ChannelFlow Read(ref FieldReader reader) => new(reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteBit(Active);
    }
}

/// <summary>channel.flow-ok: the flow is as asked.</summary>
internal readonly record struct ChannelFlowOk(bool Active) : IMethod
{
    public static MethodId Id => new(20, 21);

    MethodId IMethod.Id => Id;

    public static ChannelFlowOk Read(ref FieldReader reader) => new(reader.ReadBit());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteBit(Active);
    }
}

/// <summary>channel.close: ends the channel, with the reason and the method that failed; 0 and 0 where none did.</summary>
internal readonly record struct ChannelClose(ushort ReplyCode, string ReplyText, ushort ClassId, ushort MethodId) : IMethod
{
    public static MethodId Id => new(20, 40);

    MethodId IMethod.Id => Id;

    public static ChannelClose Read(ref FieldReader reader) =>
        new(reader.ReadUInt16(), reader.ReadShortString(), reader.ReadUInt16(), reader.ReadUInt16());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(ReplyCode);
        writer.WriteShortString(ReplyText);
        writer.WriteUInt16(ClassId);
        writer.WriteUInt16(MethodId);
    }
}

/// <summary>channel.close-ok: the peer's close was received.</summary>
internal readonly record struct ChannelCloseOk : IMethod
{
    public static MethodId Id => new(20, 41);

    MethodId IMethod.Id => Id;

    public static ChannelCloseOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}
