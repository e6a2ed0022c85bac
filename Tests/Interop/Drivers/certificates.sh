#!/bin/sh
# Makes ca.pem, server.key and server.pem in the current folder: a server certificate for tracker.test and the address
# given, signed by an authority of its own. Elliptic curves, because they are made in no time.
set -eu
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -new -key ca.key -subj '/CN=Interop test authority' -days 2 -out ca.pem \
  -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign'
openssl ecparam -name prime256v1 -genkey -noout -out server.key
openssl req -new -key server.key -subj '/CN=tracker.test' -out server.csr
printf 'subjectAltName=DNS:tracker.test,IP:%s\nextendedKeyUsage=serverAuth\n' "$1" >server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem
