namespace OrleansMq.Gateways.Amqp.Wire.Methods;

/// <summary>connection.start: the server's version, properties, mechanisms and locales.</summary>
internal readonly record struct ConnectionStart(byte VersionMajor, byte VersionMinor, FieldTable ServerProperties, LongString Mechanisms,
    LongString Locales) : IMethod
{
    public static MethodId Id => new(10, 10);

    MethodId IMethod.Id => Id;

    public static ConnectionStart Read(ref FieldReader reader) =>
        new(reader.ReadOctet(), reader.ReadOctet(), reader.ReadTable(), reader.ReadLongString(), reader.ReadLongString());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteOctet(VersionMajor);
        writer.WriteOctet(VersionMinor);
        writer.WriteTable(ServerProperties);
        writer.WriteLongString(Mechanisms);
        writer.WriteLongString(Locales);
    }
}

/// <summary>connection.start-ok: the client's properties, its mechanism and the first response.</summary>
internal readonly record struct ConnectionStartOk(FieldTable ClientProperties, string Mechanism, LongString Response,
    string Locale) : IMethod
{
    public static MethodId Id => new(10, 11);

    MethodId IMethod.Id => Id;

    public static ConnectionStartOk Read(ref FieldReader reader) =>
        new(reader.ReadTable(), reader.ReadShortString(), reader.ReadLongString(), reader.ReadShortString());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteTable(ClientProperties);
        writer.WriteShortString(Mechanism);
        writer.WriteLongString(Response);
        writer.WriteShortString(Locale);
    }
}

/// <summary>connection.secure: a further challenge of the mechanism.</summary>
internal readonly record struct ConnectionSecure(LongString Challenge) : IMethod
{
    public static MethodId Id => new(10, 20);

    MethodId IMethod.Id => Id;

    public static ConnectionSecure Read(ref FieldReader reader) => new(reader.ReadLongString());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteLongString(Challenge);
    }
}

/// <summary>connection.secure-ok: the response to a challenge.</summary>
internal readonly record struct ConnectionSecureOk(LongString Response) : IMethod
{
    public static MethodId Id => new(10, 21);

    MethodId IMethod.Id => Id;

    public static ConnectionSecureOk Read(ref FieldReader reader) => new(reader.ReadLongString());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteLongString(Response);
    }
}

/// <summary>connection.tune: the limits that the server proposes.</summary>
internal readonly record struct ConnectionTune(ushort ChannelMax, uint FrameMax, ushort Heartbeat) : IMethod
{
    public static MethodId Id => new(10, 30);

    MethodId IMethod.Id => Id;

    public static ConnectionTune Read(ref FieldReader reader) => new(reader.ReadUInt16(), reader.ReadUInt32(), reader.ReadUInt16());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(ChannelMax);
        writer.WriteUInt32(FrameMax);
        writer.WriteUInt16(Heartbeat);
    }
}

/// <summary>connection.tune-ok: the limits that the client chose.</summary>
internal readonly record struct ConnectionTuneOk(ushort ChannelMax, uint FrameMax, ushort Heartbeat) : IMethod
{
    public static MethodId Id => new(10, 31);

    MethodId IMethod.Id => Id;

    public static ConnectionTuneOk Read(ref FieldReader reader) => new(reader.ReadUInt16(), reader.ReadUInt32(), reader.ReadUInt16());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(ChannelMax);
        writer.WriteUInt32(FrameMax);
        writer.WriteUInt16(Heartbeat);
    }
}

/// <summary>connection.open: opens a virtual host.</summary>
internal readonly record struct ConnectionOpen(string VirtualHost) : IMethod
{
    public static MethodId Id => new(10, 40);

    MethodId IMethod.Id => Id;

    public static ConnectionOpen Read(ref FieldReader reader)
    {
        var method = new ConnectionOpen(reader.ReadShortString());
        reader.SkipShortString(); // Reserved.
        reader.ReadBit(); // Reserved.
        return method;
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(VirtualHost);
        writer.WriteShortString(""); // Reserved.
        writer.WriteBit(false); // Reserved.
    }
}

/// <summary>connection.open-ok: the virtual host is open.</summary>
internal readonly record struct ConnectionOpenOk : IMethod
{
    public static MethodId Id => new(10, 41);

    MethodId IMethod.Id => Id;

    public static ConnectionOpenOk Read(ref FieldReader reader)
    {
        reader.SkipShortString(); // Reserved.
        return default;
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(""); // Reserved.
    }
}

/// <summary>connection.close: ends the connection, with the reason and the method that failed; 0 and 0 where none did.</summary>
internal readonly record struct ConnectionClose(ushort ReplyCode, string ReplyText, ushort ClassId, ushort MethodId) : IMethod
{
    public static MethodId Id => new(10, 50);

    MethodId IMethod.Id => Id;

    public static ConnectionClose Read(ref FieldReader reader) =>
        new(reader.ReadUInt16(), reader.ReadShortString(), reader.ReadUInt16(), reader.ReadUInt16());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(ReplyCode);
        writer.WriteShortString(ReplyText);
        writer.WriteUInt16(ClassId);
        writer.WriteUInt16(MethodId);
    }
}

/// <summary>connection.close-ok: the peer's close was received.</summary>
internal readonly record struct ConnectionCloseOk : IMethod
{
    public static MethodId Id => new(10, 51);

    MethodId IMethod.Id => Id;

    public static ConnectionCloseOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>connection.blocked: the server takes no messages from this connection for now.</summary>
internal readonly record struct ConnectionBlocked(string Reason) : IMethod
{
    public static MethodId Id => new(10, 60);

    MethodId IMethod.Id => Id;

    public static ConnectionBlocked Read(ref FieldReader reader) => new(reader.ReadShortString());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteShortString(Reason);
    }
}

/// <summary>connection.unblocked: the server takes messages again.</summary>
internal readonly record struct ConnectionUnblocked : IMethod
{
    public static MethodId Id => new(10, 61);

    MethodId IMethod.Id => Id;

    public static ConnectionUnblocked Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>connection.update-secret: replaces the secret of the login before it expires.</summary>
internal readonly record struct ConnectionUpdateSecret(LongString NewSecret, string Reason) : IMethod
{
    public static MethodId Id => new(10, 70);

    MethodId IMethod.Id => Id;

    public static ConnectionUpdateSecret Read(ref FieldReader reader) => new(reader.ReadLongString(), reader.ReadShortString());

    public void Write(ref FieldWriter writer)
    {
        writer.WriteLongString(NewSecret);
        writer.WriteShortString(Reason);
    }
}

/// <summary>connection.update-secret-ok: the new secret is in use.</summary>
internal readonly record struct ConnectionUpdateSecretOk : IMethod
{
    public static MethodId Id => new(10, 71);

    MethodId IMethod.Id => Id;

    public static ConnectionUpdateSecretOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}
