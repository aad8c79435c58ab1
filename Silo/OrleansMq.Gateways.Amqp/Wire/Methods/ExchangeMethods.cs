namespace OrleansMq.Gateways.Amqp.Wire.Methods;

/// <summary>exchange.declare: creates an exchange, or checks one that exists.</summary>
internal readonly record struct ExchangeDeclare(string Exchange, string Type, bool Passive, bool Durable, bool AutoDelete, bool Internal,
    bool NoWait, FieldTable Arguments) : IMethod
{
    public static MethodId Id => new(40, 10);

    MethodId IMethod.Id => Id;

    public static ExchangeDeclare Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadShortString(), reader.ReadBit(), reader.ReadBit(), reader.ReadBit(),
            reader.ReadBit(), reader.ReadBit(), reader.ReadTable());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Exchange);
        writer.WriteShortString(Type);
        writer.WriteBit(Passive);
        writer.WriteBit(Durable);
        writer.WriteBit(AutoDelete);
        writer.WriteBit(Internal);
        writer.WriteBit(NoWait);
        writer.WriteTable(Arguments);
    }
}

/// <summary>exchange.declare-ok: the exchange exists.</summary>
internal readonly record struct ExchangeDeclareOk : IMethod
{
    public static MethodId Id => new(40, 11);

    MethodId IMethod.Id => Id;

    public static ExchangeDeclareOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>exchange.delete: deletes an exchange.</summary>
internal readonly record struct ExchangeDelete(string Exchange, bool IfUnused, bool NoWait) : IMethod
{
    public static MethodId Id => new(40, 20);

    MethodId IMethod.Id => Id;

    public static ExchangeDelete Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadBit(), reader.ReadBit());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Exchange);
        writer.WriteBit(IfUnused);
        writer.WriteBit(NoWait);
    }
}

/// <summary>exchange.delete-ok: the exchange is gone.</summary>
internal readonly record struct ExchangeDeleteOk : IMethod
{
    public static MethodId Id => new(40, 21);

    MethodId IMethod.Id => Id;

    public static ExchangeDeleteOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>exchange.bind: binds an exchange to another one.</summary>
internal readonly record struct ExchangeBind(string Destination, string Source, string RoutingKey, bool NoWait,
    FieldTable Arguments) : IMethod
{
    public static MethodId Id => new(40, 30);

    MethodId IMethod.Id => Id;

    public static ExchangeBind Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadShortString(), reader.ReadShortString(), reader.ReadBit(), reader.ReadTable());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Destination);
        writer.WriteShortString(Source);
        writer.WriteShortString(RoutingKey);
        writer.WriteBit(NoWait);
        writer.WriteTable(Arguments);
    }
}

/// <summary>exchange.bind-ok: the exchanges are bound.</summary>
internal readonly record struct ExchangeBindOk : IMethod
{
    public static MethodId Id => new(40, 31);

    MethodId IMethod.Id => Id;

    public static ExchangeBindOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}

/// <summary>exchange.unbind: removes a binding between exchanges.</summary>
internal readonly record struct ExchangeUnbind(string Destination, string Source, string RoutingKey, bool NoWait,
    FieldTable Arguments) : IMethod
{
    public static MethodId Id => new(40, 40);

    MethodId IMethod.Id => Id;

    public static ExchangeUnbind Read(ref FieldReader reader)
    {
        reader.ReadUInt16(); // Reserved.
        return new(reader.ReadShortString(), reader.ReadShortString(), reader.ReadShortString(), reader.ReadBit(), reader.ReadTable());
    }

    public void Write(ref FieldWriter writer)
    {
        writer.WriteUInt16(0); // Reserved.
        writer.WriteShortString(Destination);
        writer.WriteShortString(Source);
        writer.WriteShortString(RoutingKey);
        writer.WriteBit(NoWait);
        writer.WriteTable(Arguments);
    }
}

/// <summary>exchange.unbind-ok: the binding is gone.</summary>
internal readonly record struct ExchangeUnbindOk : IMethod
{
    public static MethodId Id => new(40, 51);

    MethodId IMethod.Id => Id;

    public static ExchangeUnbindOk Read(ref FieldReader reader) => default;

    public void Write(ref FieldWriter writer) { }
}
